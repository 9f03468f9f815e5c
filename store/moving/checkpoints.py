"""Copies of a thread's checkpoints between two checkpointers, through LangGraph's interface, and their comparison."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from ml_intern.store.store import Store

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

Version = int | str
Versions = dict[tuple[str, int], Version]
"""For each channel and number, the version as the target writes it."""


class TaskPaths(Protocol):
    """The checkpointers of both databases, beyond LangGraph's interface."""

    async def task_paths(self, thread_id: str) -> Mapping[tuple[str, str, str], str]:
        """Return the path of each task that wrote, by namespace, checkpoint and task. It orders the writes."""
        ...


class VersionNames:
    """The versions of channels as the target's checkpointer writes them: numbers, or texts that begin with one.

    Two branches of a thread may have different values with the same number. Texts tell them apart.
    """

    def __init__(self, *, as_text: bool) -> None:
        self._as_text = as_text
        self._known: dict[tuple[str, str], Versions] = {}

    def renamed(self, found: "CheckpointTuple") -> dict[str, Any]:
        """Return the checkpoint with the target's versions. Ask for the parent of a checkpoint first."""
        namespace = str(found.config["configurable"].get("checkpoint_ns", ""))
        before = self._known.get((namespace, parent_of(found) or ""), {})
        names: Versions = {}

        def rename(versions: Mapping[str, Any]) -> dict[str, Version]:
            return {channel: self._name(channel, one, before, names, found) for channel, one in versions.items()}

        checkpoint = dict(found.checkpoint)
        checkpoint["channel_versions"] = rename(found.checkpoint["channel_versions"])
        checkpoint["versions_seen"] = {node: rename(seen) for node, seen in found.checkpoint["versions_seen"].items()}
        self._known[namespace, found.checkpoint["id"]] = names
        return checkpoint

    def _name(self, channel: str, version: Any, before: Versions, names: Versions, found: "CheckpointTuple") -> Version:
        number = number_of(version)
        if not self._as_text:
            return number
        key = channel, number
        if key not in names:
            branch = int.from_bytes(hashlib.sha256(found.checkpoint["id"].encode()).digest()[:6], "big")
            names[key] = before.get(key, f"{number:032}.{branch:016}")
        return names[key]


def number_of(version: Any) -> int:
    """Return the number of a version."""
    return version if isinstance(version, int) else int(float(str(version).partition(".")[0]))


def parent_of(found: "CheckpointTuple") -> str | None:
    """Return the id of a checkpoint's parent."""
    return found.parent_config["configurable"]["checkpoint_id"] if found.parent_config else None


async def copy_checkpoints(source: Store, target: Store, thread_id: str) -> int:
    """Copy all checkpoints of a thread with the writes of their tasks. Return their number."""
    reader, writer = await source.saver(), await target.saver()
    paths = await cast("TaskPaths", reader).task_paths(thread_id)
    names = VersionNames(as_text=target.is_shared)
    found = await _all_of(reader, thread_id)
    for one in found:
        await _write(writer, one, names.renamed(one), paths)
    return len(found)


async def different_checkpoint(source: Store, target: Store, thread_id: str) -> str | None:
    """Return the id of a checkpoint that the two stores do not have alike, or None."""
    ours, theirs = await source.saver(), await target.saver()
    left, right = await _all_of(ours, thread_id), await _all_of(theirs, thread_id)
    for one, other in zip(left, right, strict=False):
        if _fields(ours, one) != _fields(theirs, other) or not _have_same_values(ours, one, other):
            return str(one.checkpoint["id"])
    if len(left) != len(right):
        return str(max(left, right, key=len)[-1].checkpoint["id"])
    return None


async def _all_of(saver: "BaseCheckpointSaver[Any]", thread_id: str) -> "Sequence[CheckpointTuple]":
    """Return the checkpoints of a thread and its sub-graphs, oldest first."""
    found = [one async for one in saver.alist({"configurable": {"thread_id": thread_id}})]
    return sorted(found, key=lambda one: (one.checkpoint["id"], one.config["configurable"].get("checkpoint_ns", "")))


async def _write(
    writer: "BaseCheckpointSaver[Any]",
    found: "CheckpointTuple",
    checkpoint: Any,
    paths: Mapping[tuple[str, str, str], str],
) -> None:
    named = found.config["configurable"]
    namespace, id = str(named.get("checkpoint_ns", "")), str(checkpoint["id"])
    place: dict[str, Any] = {"thread_id": named["thread_id"], "checkpoint_ns": namespace}
    parent = parent_of(found)
    config: RunnableConfig = {"configurable": place | ({"checkpoint_id": parent} if parent else {})}
    versions = checkpoint["channel_versions"]
    stored = {name: versions[name] for name in checkpoint["channel_values"] if name in versions}
    await writer.aput(config, checkpoint, found.metadata, stored)
    tasks: dict[str, list[tuple[str, Any]]] = {}
    for task, channel, value in found.pending_writes or ():
        tasks.setdefault(task, []).append((channel, value))
    config = {"configurable": place | {"checkpoint_id": id}}
    for task, writes in tasks.items():
        for same in _by_kind(writes):
            await writer.aput_writes(config, same, task, paths.get((namespace, id, task), ""))


def _by_kind(writes: Sequence[tuple[str, Any]]) -> Sequence[Sequence[tuple[str, Any]]]:
    """Return the writes to special channels, such as interrupts, apart: each replaces the one before."""
    from langgraph.checkpoint.base import WRITES_IDX_MAP

    special = [[one] for one in writes if one[0] in WRITES_IDX_MAP]
    others = [one for one in writes if one[0] not in WRITES_IDX_MAP]
    return [*special, *([others] if others else [])]


def _fields(saver: "BaseCheckpointSaver[Any]", found: "CheckpointTuple") -> object:
    """Return the fields of a checkpoint that are alike in all its copies: all but the values of channels."""

    def numbers(versions: Mapping[str, Any]) -> dict[str, int]:
        return {channel: number_of(version) for channel, version in versions.items()}

    checkpoint = found.checkpoint
    return (
        checkpoint["id"],
        found.config["configurable"].get("checkpoint_ns", ""),
        parent_of(found),
        numbers(checkpoint["channel_versions"]),
        {node: numbers(seen) for node, seen in checkpoint["versions_seen"].items()},
        dict(found.metadata),
        [(task, channel, saver.serde.dumps_typed(value)) for task, channel, value in found.pending_writes or ()],
    )


def _have_same_values(saver: "BaseCheckpointSaver[Any]", one: "CheckpointTuple", copy: "CheckpointTuple") -> bool:
    """Compare the values of channels. PostgreSQL shows the snapshot of a history in the checkpoints after it, too."""
    from langgraph.checkpoint.serde.types import _DeltaSnapshot

    left, right = one.checkpoint["channel_values"], copy.checkpoint["channel_values"]
    packed = saver.serde.dumps_typed
    return all(name in right and packed(value) == packed(right[name]) for name, value in left.items()) and all(
        name in left or isinstance(value, _DeltaSnapshot) for name, value in right.items()
    )
