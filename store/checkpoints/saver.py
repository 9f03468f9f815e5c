"""The checkpointer: LangGraph's SQLite saver on ml-intern's tables, strict and with few commits."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ml_intern.store.checkpoints import rows as tables
from ml_intern.store.checkpoints.delivered import user_messages
from ml_intern.store.checkpoints.histories import NO_VALUE, Histories, HistoryStep
from ml_intern.store.checkpoints.ids import ensure_later_ids
from ml_intern.store.checkpoints.packing import damaged_row
from ml_intern.store.checkpoints.rows import CheckpointBytes, CheckpointRef, TaskBytes, ThreadNamespace
from ml_intern.store.checkpoints.steps import starts_a_step
from ml_intern.store.queue import delete_queued
from ml_intern.store.sqlite.database import Database

T = TypeVar("T")

WRITE_DELAY_SECONDS = 0.1
"""The longest that a task's writes wait to be committed together with the checkpoint that consumes them."""
MAX_WAITING = 8
"""Most writes that wait for the next transaction, so that a graph without other transactions reports a full disk."""


@dataclass(frozen=True)
class _Write:
    """One write of a task, with its sort key."""

    path: str
    task_id: str
    index: int
    channel: str
    value: Any


@dataclass(frozen=True)
class _CheckpointFilter:
    """Selects the checkpoints of a listing."""

    config: RunnableConfig
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    before: str | None = None

    def namespaces(self, connection: sqlite3.Connection) -> list[ThreadNamespace]:
        """Return the namespaces that the config matches."""
        named = self.config.get("configurable", {})
        namespaces = tables.list_namespaces(connection, str(named["thread_id"]) if "thread_id" in named else None)
        checkpoint_ns = named.get("checkpoint_ns")
        return [namespace for namespace in namespaces if checkpoint_ns in (None, namespace.checkpoint_ns)]

    def id(self) -> str | None:
        """Return the id of the checkpoint in the config, if any."""
        return get_checkpoint_id(self.config) if "configurable" in self.config else None

    def accepts(self, metadata: CheckpointMetadata) -> bool:
        """Return whether a checkpoint's metadata matches the filter."""
        return all(metadata.get(key) == value for key, value in self.metadata.items())


class Saver(AsyncSqliteSaver):
    """Checkpoints of all threads in the thread database.

    The writes of a finished task are committed in one transaction with the checkpoint that consumes them, or after
    WRITE_DELAY_SECONDS. A checkpoint within a turn is committed with the next transaction, which precedes each call of
    a model or tool. Writes that no checkpoint may follow (interrupts, answers, errors) are committed at once.
    A transaction with a user message removes it from the queue.
    Decoding creates only the serializer's safe types.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
        self._database = database
        self._uncommitted: dict[ThreadNamespace, list[TaskBytes]] = {}
        self._histories = Histories()
        self._new: dict[ThreadNamespace, str] = {}
        """The checkpoint that a run saved last, while no task that continues it has asked or failed."""
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self.is_setup = True

    async def setup(self) -> None:
        """Do nothing: the database creates the tables."""

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002  the base class's signature
        """Return the next version of a channel: a small integer, unlike the base class's 50 characters."""
        return (current or 0) + 1

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  the base class's signature
    ) -> RunnableConfig:
        """Save a checkpoint with its uncommitted writes. They are on disk when this returns.

        Within a turn, they are committed with the next transaction, and on disk when the next model call or tool call
        starts.
        """
        namespace, parent = _namespace(config), get_checkpoint_id(config)
        ref = CheckpointRef(
            checkpoint["id"], parent, metadata.get("source", ""), metadata.get("step", 0),
            frozenset(checkpoint["channel_values"]),
        )  # fmt: skip
        delivered = user_messages(checkpoint["channel_values"].items())
        raw = self._encode(config, checkpoint, metadata)
        if self._is_within_turn(namespace, ref) and self._database.waiting < MAX_WAITING:
            self._database.write_later(self._saving(namespace, self._uncommitted.pop(namespace), ref, raw, delivered))
        else:
            await self._commit(namespace, ref, raw, delivered)
        self._new[namespace] = ref.id
        return _config(namespace, checkpoint["id"])

    def _is_within_turn(self, namespace: ThreadNamespace, ref: CheckpointRef) -> bool:
        """Whether a step of a running turn, whose writes were queued just now, is followed by another step."""
        return ref.source == "loop" and namespace in self._uncommitted and starts_a_step(ref.channels)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Queue the writes of a task for the next checkpoint, or commit them if none may follow."""
        raw = self.serde.dumps_typed([task_path, [[channel, value] for channel, value in writes]])[1]
        channels = frozenset(channel for channel, _ in writes)
        namespace = _namespace(config)
        self._uncommitted.setdefault(namespace, []).append(
            TaskBytes(config["configurable"]["checkpoint_id"], task_id, raw, channels, user_messages(writes))
        )
        if not WRITES_IDX_MAP.keys().isdisjoint(channels):
            self._new.pop(namespace, None)
            await self._commit(namespace)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_DELAY_SECONDS, self._flush_soon)

    def is_new(self, thread_id: str, id: str) -> bool:
        """Return whether the present run saved a checkpoint last, and no task has asked or failed since."""
        return self._new.get(ThreadNamespace(thread_id)) == id

    async def flush(self) -> None:
        """Commit all queued writes and the checkpoints that wait for a transaction."""
        for namespace in list(self._uncommitted):
            await self._commit(namespace)
        await self._database.flush()

    async def finish(self) -> None:
        """Commit all queued writes and stop the timer."""
        if self._timer:
            self._timer.cancel()
        if self._flushing:
            await asyncio.wait([self._flushing])
        await self.flush()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint in `config`, or the latest one of its thread; None if there is none."""
        namespace, id = _namespace(config), get_checkpoint_id(config)
        self._new.pop(namespace, None)  # a run begins, and another process may have continued the thread before

        def load(connection: sqlite3.Connection) -> tuple[str | None, CheckpointTuple | None]:
            found = tables.load_checkpoint(connection, namespace, id)
            if found is None:
                return None, None
            latest = found.id if id is None else tables.latest_id(connection, namespace)
            return latest, self._tuple(connection, namespace, found)

        latest, found = await self._read(load)
        if latest:
            ensure_later_ids(latest)
        return found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, latest first; `filter` compares metadata keys."""
        selection = _CheckpointFilter(config or {}, filter or {}, get_checkpoint_id(before) if before else None)
        for found in await self._read(lambda connection: list(islice(self._select(connection, selection), limit))):
            yield found

    async def task_paths(self, thread_id: str) -> Mapping[tuple[str, str, str], str]:
        """Return the path of each task that wrote, by namespace, checkpoint and task."""

        def select(connection: sqlite3.Connection) -> dict[tuple[str, str, str], str]:
            return {
                (namespace.checkpoint_ns, task.checkpoint_id, task.task_id): self._load(task.raw)[0]
                for namespace in tables.list_namespaces(connection, thread_id)
                for task in tables.load_all_writes(connection, namespace)
            }

        return await self._read(select)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a thread."""
        for namespace in [namespace for namespace in self._uncommitted if namespace.thread_id == str(thread_id)]:
            del self._uncommitted[namespace]

        def delete(connection: sqlite3.Connection) -> None:
            self._histories.forget_thread(str(thread_id))
            tables.delete_checkpoints(connection, str(thread_id))

        await self._database.write(delete)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return for each channel the value of the nearest ancestor that has one, and the later writes."""
        namespace, id = _namespace(config), get_checkpoint_id(config)

        def load(connection: sqlite3.Connection) -> Mapping[str, DeltaChannelHistory]:
            start = id or tables.latest_id(connection, namespace)
            return (
                self._history(connection, namespace, start, channels)
                if start
                else {channel: {"writes": []} for channel in channels}
            )

        return await self._read(load)

    def _flush_soon(self) -> None:
        self._timer = None
        if self._uncommitted:
            self._flushing = asyncio.create_task(self.flush())
            # Failed writes stay queued, and the next transaction reports the error.
            self._flushing.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _commit(
        self,
        namespace: ThreadNamespace,
        ref: CheckpointRef | None = None,
        raw: bytes = b"",
        delivered: Sequence[str] = (),
    ) -> None:
        """Commit a namespace's queued writes and a checkpoint in one transaction. On failure the writes stay queued."""
        writes = self._uncommitted.pop(namespace, [])
        if not writes and ref is None:
            return
        try:
            await self._database.write(self._saving(namespace, writes, ref, raw, delivered))
        except BaseException:
            # Committing writes twice is harmless.
            self._uncommitted[namespace] = writes + self._uncommitted.get(namespace, [])
            raise

    def _saving(
        self,
        namespace: ThreadNamespace,
        writes: Sequence[TaskBytes],
        ref: CheckpointRef | None,
        raw: bytes,
        delivered: Sequence[str],
    ) -> Callable[[sqlite3.Connection], None]:
        """Return what saves writes and a checkpoint. `delivered` are the ids of the user messages in the checkpoint."""
        ids = [*delivered, *(id for one in writes for id in one.messages)]

        def save(connection: sqlite3.Connection) -> None:
            for id in {task.checkpoint_id for task in writes} | ({ref.id} if ref else set()):
                self._histories.forget(namespace, id)
            tables.save_writes(connection, namespace, writes)
            delete_queued(connection, namespace.thread_id, ids)
            if ref:
                tables.save_checkpoint(connection, namespace, ref, raw)

        return save

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await self.flush()
        return await self._database.read(work)

    def _encode(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> bytes:
        """Encode the metadata as a line of JSON followed by the checkpoint without its id, which is a column."""
        header = json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False, separators=(",", ":"))
        return header.encode("utf-8", "ignore") + b"\n" + self.serde.dumps_typed({**checkpoint, "id": ""})[1]

    def _load(self, packed: bytes) -> Any:
        try:
            return self.serde.loads_typed(("msgpack", packed))
        except ValueError as error:
            raise damaged_row() from error

    def _decode(self, found: CheckpointBytes) -> tuple[Checkpoint, CheckpointMetadata]:
        header, _, packed = found.raw.partition(b"\n")
        checkpoint: Checkpoint = self._load(packed)
        checkpoint["id"] = found.id
        return checkpoint, json.loads(header)

    def _tuple(
        self, connection: sqlite3.Connection, namespace: ThreadNamespace, found: CheckpointBytes
    ) -> CheckpointTuple:
        checkpoint, metadata = self._decode(found)
        parent = _config(namespace, found.parent) if found.parent else None
        writes: list[PendingWrite] = [
            (write.task_id, write.channel, write.value)
            for write in self._ordered(tables.load_writes(connection, namespace, found.id))
        ]
        return CheckpointTuple(_config(namespace, found.id), checkpoint, metadata, parent, writes)

    def _select(self, connection: sqlite3.Connection, selection: _CheckpointFilter) -> Iterator[CheckpointTuple]:
        def of_namespace(namespace: ThreadNamespace) -> Iterator[tuple[str, ThreadNamespace, CheckpointBytes]]:
            for found in tables.load_checkpoints(connection, namespace, id=selection.id(), before=selection.before):
                yield found.id, namespace, found

        namespaces = [of_namespace(namespace) for namespace in selection.namespaces(connection)]
        for _, namespace, found in merge(*namespaces, key=itemgetter(0), reverse=True):
            if selection.accepts(self._decode(found)[1]):
                yield self._tuple(connection, namespace, found)

    def _ordered(self, tasks: Iterable[TaskBytes]) -> list[_Write]:
        """Return the writes made at a checkpoint in the order in which LangGraph applies them.

        A task may save its writes again, for example on a resume. The first write of an index counts; for special
        channels, the last.
        """
        effective: dict[tuple[str, int], _Write] = {}
        for task in tasks:
            path, pairs = self._load(task.raw)
            replaces = all(channel in WRITES_IDX_MAP for channel, _ in pairs)
            for position, (channel, value) in enumerate(pairs):
                write = _Write(path, task.task_id, WRITES_IDX_MAP.get(channel, position), channel, value)
                if replaces or (write.task_id, write.index) not in effective:
                    effective[write.task_id, write.index] = write
        return sorted(effective.values(), key=lambda write: writes_sort_key(write.path, write.task_id, write.index))

    def _history(
        self, connection: sqlite3.Connection, namespace: ThreadNamespace, start: str, channels: Sequence[str]
    ) -> dict[str, DeltaChannelHistory]:
        """Return the nearest value and the later writes of each channel, without the writes made at `start`."""
        self._histories.evict_if_full()
        found = next(tables.load_lineage(connection, namespace, start), None)
        parent = found.parent if found else None
        gaps: dict[str, list[str]] = {}
        for channel in channels:
            if gap := self._histories.find_gap(namespace, channel, start, parent):
                gaps.setdefault(gap, []).append(channel)
        for gap, missing in gaps.items():
            self._fill(connection, namespace, gap, missing)
        return {channel: self._histories.history(namespace, channel, start, parent) for channel in channels}

    def _fill(
        self, connection: sqlite3.Connection, namespace: ThreadNamespace, first: str, channels: Sequence[str]
    ) -> None:
        """Cache the steps of a checkpoint and its ancestors, up to those with values or already cached."""
        passed: dict[str, tuple[CheckpointRef, frozenset[str]]] = {}
        missing = frozenset(channels)
        for ref in tables.load_lineage(connection, namespace, first):
            missing = frozenset(name for name in missing if not self._histories.has_step(namespace, name, ref.id))
            if not missing:
                break
            passed[ref.id] = ref, missing
            missing -= ref.channels
        written = self._written(connection, namespace, first, len(passed) - 1, channels) if passed else {}
        for id, (ref, names) in passed.items():
            values = self._values(connection, namespace, id) if names & ref.channels else {}
            for name in names:
                writes = [write for write in written.get(id, ()) if write[1] == name]
                value = values[name] if name in ref.channels else NO_VALUE
                self._histories.remember(namespace, name, id, HistoryStep(ref.parent, writes, value))

    def _written(
        self,
        connection: sqlite3.Connection,
        namespace: ThreadNamespace,
        first: str,
        depth: int,
        channels: Sequence[str],
    ) -> dict[str, list[PendingWrite]]:
        rows = tables.load_lineage_writes(connection, namespace, first, depth, channels)
        return {id: [(one.task_id, one.channel, one.value) for one in self._ordered(tasks)] for id, tasks in rows}

    def _values(self, connection: sqlite3.Connection, namespace: ThreadNamespace, id: str) -> Mapping[str, Any]:
        found = tables.load_checkpoint(connection, namespace, id)
        return self._decode(found)[0]["channel_values"] if found else {}


def _namespace(config: RunnableConfig) -> ThreadNamespace:
    named = config["configurable"]
    return ThreadNamespace(str(named["thread_id"]), named.get("checkpoint_ns", ""))


def _config(namespace: ThreadNamespace, id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": namespace.thread_id,
            "checkpoint_ns": namespace.checkpoint_ns,
            "checkpoint_id": id,
        }
    }
