"""The checkpointer: LangGraph's SQLite saver over our tables, with a strict serializer and one commit a superstep."""

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
from langgraph.checkpoint.base import id as ids
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from ml_intern.store.checkpoints import rows as tables
from ml_intern.store.checkpoints.histories import NOTHING, Histories, Step
from ml_intern.store.checkpoints.packing import damaged_row
from ml_intern.store.checkpoints.rows import CheckpointBytes, CheckpointRef, TaskBytes, ThreadNamespace
from ml_intern.store.database import Database

T = TypeVar("T")

HOLD_SECONDS = 0.1
"""How long the writes of a task wait for the checkpoint that consumes them, which is a moment behind them."""


@dataclass(frozen=True)
class _Write:
    """One write of a task, with what orders it among others."""

    path: str
    task_id: str
    index: int
    channel: str
    value: Any


@dataclass(frozen=True)
class _Wanted:
    """Which checkpoints a list is of."""

    config: RunnableConfig
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    before: str | None = None

    def lanes(self, connection: sqlite3.Connection) -> list[ThreadNamespace]:
        """The threads and namespaces the config leaves open, or the one it names."""
        named = self.config.get("configurable", {})
        lanes = tables.namespaces_of(connection, str(named["thread_id"]) if "thread_id" in named else None)
        namespace = named.get("checkpoint_ns")
        return [lane for lane in lanes if namespace in (None, lane.namespace)]

    def id(self) -> str | None:
        """The one checkpoint the config names, if it does."""
        return get_checkpoint_id(self.config) if "configurable" in self.config else None

    def accepts(self, metadata: CheckpointMetadata) -> bool:
        """Whether a checkpoint's metadata has all that is asked for."""
        return all(metadata.get(key) == value for key, value in self.metadata.items())


class Saver(AsyncSqliteSaver):
    """Checkpoints of all threads in the thread database.

    The writes of a finished task are committed together with the checkpoint that consumes them, in one transaction,
    or after HOLD_SECONDS; those that no checkpoint may follow (an interrupt, an answer, an error) at once. Only what
    is in the serializer's list of safe types is ever built from a row.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
        self._database = database
        self._held: dict[ThreadNamespace, list[TaskBytes]] = {}
        self._histories = Histories()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self.is_setup = True

    async def setup(self) -> None:
        """Nothing is left to do: the tables came with the database."""

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002  the base class's signature
        """The next version of a channel: small integers, unlike the base class's 50 characters."""
        return (current or 0) + 1

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  the base class's signature
    ) -> RunnableConfig:
        """Save a checkpoint, and with it the writes held for it; on disk when this returns."""
        lane, parent = _lane(config), get_checkpoint_id(config)
        link = CheckpointRef(
            checkpoint["id"], parent, metadata.get("source", ""), metadata.get("step", 0),
            frozenset(checkpoint["channel_values"]),
        )  # fmt: skip
        await self._commit(lane, link, self._encode(config, checkpoint, metadata))
        return _config(lane, checkpoint["id"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep the writes of a task for the checkpoint that follows, or commit them when none may follow."""
        raw = self.serde.dumps_typed([task_path, [[channel, value] for channel, value in writes]])[1]
        channels = frozenset(channel for channel, _ in writes)
        lane = _lane(config)
        self._held.setdefault(lane, []).append(
            TaskBytes(config["configurable"]["checkpoint_id"], task_id, raw, channels)
        )
        if not WRITES_IDX_MAP.keys().isdisjoint(channels):
            await self._commit(lane)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HOLD_SECONDS, self._flush_soon)

    async def flush(self) -> None:
        """Commit what is held."""
        for lane in list(self._held):
            await self._commit(lane)

    async def finish(self) -> None:
        """Commit what is held and let nothing run on after it."""
        if self._timer:
            self._timer.cancel()
        if self._flushing:
            await asyncio.wait([self._flushing])
        await self.flush()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the newest one of its thread; None when there is none."""
        lane, id = _lane(config), get_checkpoint_id(config)

        def load(connection: sqlite3.Connection) -> tuple[str | None, CheckpointTuple | None]:
            found = tables.load_checkpoint(connection, lane, id)
            if found is None:
                return None, None
            newest = found.id if id is None else tables.newest_id(connection, lane)
            return newest, self._tuple(connection, lane, found)

        newest, found = await self._read(lane, load)
        if newest:
            continue_after(newest)
        return found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first; `filter` compares keys of their metadata."""
        await self.flush()
        wanted = _Wanted(config or {}, filter or {}, get_checkpoint_id(before) if before else None)
        for found in await self._database.read(
            lambda connection: list(islice(self._select(connection, wanted), limit))
        ):
            yield found

    async def adelete_thread(self, thread_id: str) -> None:
        """Forget all checkpoints of a thread."""
        for lane in [lane for lane in self._held if lane.thread_id == str(thread_id)]:
            del self._held[lane]

        def delete(connection: sqlite3.Connection) -> None:
            self._histories.forget_thread(str(thread_id))
            tables.delete_checkpoints(connection, str(thread_id))

        await self._database.write(delete)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """For each channel: the value of the nearest ancestor that holds one, and the writes made since."""
        lane, id = _lane(config), get_checkpoint_id(config)

        def load(connection: sqlite3.Connection) -> Mapping[str, DeltaChannelHistory]:
            start = id or tables.newest_id(connection, lane)
            return (
                self._history(connection, lane, start, channels)
                if start
                else {channel: {"writes": []} for channel in channels}
            )

        return await self._read(lane, load)

    def _flush_soon(self) -> None:
        self._timer = None
        if self._held:
            self._flushing = asyncio.create_task(self.flush())
            # What failed is held still: the next commit says why.
            self._flushing.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _commit(self, lane: ThreadNamespace, link: CheckpointRef | None = None, raw: bytes = b"") -> None:
        """One transaction: the writes held for a lane, and a checkpoint. What fails stays held; twice does no harm."""
        held = self._held.pop(lane, [])
        if not held and link is None:
            return

        def save(connection: sqlite3.Connection) -> None:
            for id in {task.checkpoint_id for task in held} | ({link.id} if link else set()):
                self._histories.forget(lane, id)
            tables.save_writes(connection, lane, held)
            if link:
                tables.save_checkpoint(connection, lane, link, raw)

        try:
            await self._database.write(save)
        except BaseException:
            self._held[lane] = held + self._held.get(lane, [])
            raise

    async def _read(self, lane: ThreadNamespace, work: Callable[[sqlite3.Connection], T]) -> T:
        await self._commit(lane)
        return await self._database.read(work)

    def _encode(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> bytes:
        """Metadata as a line of JSON, then the checkpoint; its id stands in the row."""
        facts = json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False, separators=(",", ":"))
        return facts.encode("utf-8", "ignore") + b"\n" + self.serde.dumps_typed({**checkpoint, "id": ""})[1]

    def _load(self, packed: bytes) -> Any:
        try:
            return self.serde.loads_typed(("msgpack", packed))
        except ValueError as fault:
            raise damaged_row() from fault

    def _decode(self, found: CheckpointBytes) -> tuple[Checkpoint, CheckpointMetadata]:
        facts, _, packed = found.raw.partition(b"\n")
        checkpoint: Checkpoint = self._load(packed)
        checkpoint["id"] = found.id
        return checkpoint, json.loads(facts)

    def _tuple(self, connection: sqlite3.Connection, lane: ThreadNamespace, found: CheckpointBytes) -> CheckpointTuple:
        checkpoint, metadata = self._decode(found)
        parent = _config(lane, found.parent) if found.parent else None
        writes: list[PendingWrite] = [
            (write.task_id, write.channel, write.value)
            for write in self._ordered(tables.load_writes(connection, lane, found.id))
        ]
        return CheckpointTuple(_config(lane, found.id), checkpoint, metadata, parent, writes)

    def _select(self, connection: sqlite3.Connection, wanted: _Wanted) -> Iterator[CheckpointTuple]:
        def of_lane(lane: ThreadNamespace) -> Iterator[tuple[str, ThreadNamespace, CheckpointBytes]]:
            for found in tables.load_checkpoints(connection, lane, id=wanted.id(), before=wanted.before):
                yield found.id, lane, found

        lanes = [of_lane(lane) for lane in wanted.lanes(connection)]
        for _, lane, found in merge(*lanes, key=itemgetter(0), reverse=True):
            if wanted.accepts(self._decode(found)[1]):
                yield self._tuple(connection, lane, found)

    def _ordered(self, tasks: Iterable[TaskBytes]) -> list[_Write]:
        """The writes made at a checkpoint, in the order in which LangGraph applies them.

        A task may save its writes again, say on a resume: the first of a place counts, of the special ones the last.
        """
        kept: dict[tuple[str, int], _Write] = {}
        for task in tasks:
            path, pairs = self._load(task.raw)
            replaces = all(channel in WRITES_IDX_MAP for channel, _ in pairs)
            for position, (channel, value) in enumerate(pairs):
                write = _Write(path, task.task_id, WRITES_IDX_MAP.get(channel, position), channel, value)
                if replaces or (write.task_id, write.index) not in kept:
                    kept[write.task_id, write.index] = write
        return sorted(kept.values(), key=lambda write: writes_sort_key(write.path, write.task_id, write.index))

    def _history(
        self, connection: sqlite3.Connection, lane: ThreadNamespace, start: str, channels: Sequence[str]
    ) -> dict[str, DeltaChannelHistory]:
        """The nearest value held and the writes since; those made at `start` are not part of it."""
        self._histories.make_room()
        found = next(tables.line(connection, lane, start), None)
        parent = found.parent if found else None
        gaps: dict[str, list[str]] = {}
        for channel in channels:
            if gap := self._histories.gap(lane, channel, start, parent):
                gaps.setdefault(gap, []).append(channel)
        for gap, wanting in gaps.items():
            self._fill(connection, lane, gap, wanting)
        return {channel: self._histories.history(lane, channel, start, parent) for channel in channels}

    def _fill(self, connection: sqlite3.Connection, lane: ThreadNamespace, first: str, channels: Sequence[str]) -> None:
        """Remember the steps of a checkpoint and its ancestors, up to those that hold values or are remembered."""
        passed: dict[str, tuple[CheckpointRef, frozenset[str]]] = {}
        wanted = frozenset(channels)
        for link in tables.line(connection, lane, first):
            wanted = frozenset(name for name in wanted if not self._histories.knows(lane, name, link.id))
            if not wanted:
                break
            passed[link.id] = link, wanted
            wanted -= link.channels
        written = self._written(connection, lane, first, len(passed) - 1, channels) if passed else {}
        for id, (link, names) in passed.items():
            held = self._values(connection, lane, id) if names & link.channels else {}
            for name in names:
                writes = [write for write in written.get(id, ()) if write[1] == name]
                value = held[name] if name in link.channels else NOTHING
                self._histories.remember(lane, name, id, Step(link.parent, writes, value))

    def _written(
        self, connection: sqlite3.Connection, lane: ThreadNamespace, first: str, depth: int, channels: Sequence[str]
    ) -> dict[str, list[PendingWrite]]:
        rows = tables.load_line_writes(connection, lane, first, depth, channels)
        return {id: [(one.task_id, one.channel, one.value) for one in self._ordered(tasks)] for id, tasks in rows}

    def _values(self, connection: sqlite3.Connection, lane: ThreadNamespace, id: str) -> Mapping[str, Any]:
        found = tables.load_checkpoint(connection, lane, id)
        return self._decode(found)[0]["channel_values"] if found else {}


def _lane(config: RunnableConfig) -> ThreadNamespace:
    named = config["configurable"]
    return ThreadNamespace(str(named["thread_id"]), named.get("checkpoint_ns", ""))


def _config(lane: ThreadNamespace, id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": lane.thread_id, "checkpoint_ns": lane.namespace, "checkpoint_id": id}}


_TIMED = 6
"""The version of the UUIDs that LangGraph gives checkpoints."""


def continue_after(checkpoint_id: str) -> None:
    """Make the ids that come next in this process greater than this one, though the clock was set back since.

    LangGraph sees to that within a process only.
    """
    newest = ids.UUID(checkpoint_id)
    if newest.version == _TIMED:
        ids._last_v6_timestamp = max(ids._last_v6_timestamp or 0, newest.time)  # type: ignore[assignment]
