"""LangGraph's PostgreSQL saver: its tables and statements, in the transactions of the store.

The statements that save are performed on the store's connection, which has locked the thread. Those that read have a
connection of their own.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, LiteralString, TypeVar, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from ml_intern.configs.errors import TemporaryError
from ml_intern.store.checkpoints.delivered import user_messages
from ml_intern.store.checkpoints.ids import ensure_later_ids
from ml_intern.store.checkpoints.steps import starts_a_step
from ml_intern.store.connection import SqlConnection
from ml_intern.store.postgres.database import PostgresDatabase, connection_text, postgres_error
from ml_intern.store.postgres.statements import TableConnection
from ml_intern.store.queue import delete_queued

T = TypeVar("T")

_PATHS: Final = (
    "SELECT DISTINCT checkpoint_ns, checkpoint_id, task_id, task_path "
    "FROM public.checkpoint_writes WHERE thread_id = %s"
)
_SETTINGS: Final = {"search_path": "public"}
_SETUP_LOCK: Final = 0x6D6C696F
_SETUP_ATTEMPTS: Final = 300
_SETUP_SECONDS: Final = 0.1
_MAX_WAITING: Final = 64
"""Most writes that wait for the next transaction, so that a graph without other transactions reports a full disk."""

_Namespace = tuple[str, str]
_Statement = tuple[str, Sequence[Sequence[Any]]]
"""A statement in psycopg's form, and the values of each time it is performed."""


class _Recording:
    """A cursor that performs nothing: it stores the statements of a saver, whose results are not read."""

    def __init__(self) -> None:
        self.statements: list[_Statement] = []

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Store a statement."""
        self.statements.append((statement, [_as_of_now(values)]))

    async def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Store a statement that is performed for each row."""
        self.statements.append((statement, [_as_of_now(row) for row in rows]))


_RECORDING: ContextVar[_Recording] = ContextVar("recording")


def _as_of_now(values: Sequence[Any]) -> list[Any]:
    """Return the values with JSON as text, since LangGraph changes the object in the next step."""
    return [json.dumps(value.obj) if isinstance(value, Jsonb) else value for value in values]


def _namespace(config: RunnableConfig) -> _Namespace:
    named = config["configurable"]
    return str(named["thread_id"]), str(named.get("checkpoint_ns", ""))


@dataclass(frozen=True)
class _TaskWrites:
    """The writes of a task that continues a checkpoint, with a user message."""

    checkpoint: str | None
    statement: _Statement
    messages: Sequence[str]


class PostgresSaver(AsyncPostgresSaver):
    """The checkpointer of a store on PostgreSQL. Use `open_saver`, and `finish` at the end.

    The writes of a task, and a checkpoint within a turn, are committed with the store's next transaction, which
    precedes each call of a model or tool. Writes that no checkpoint may follow (interrupts, answers, errors) are
    committed at once.
    """

    def __init__(self, database: PostgresDatabase, connection: psycopg.AsyncConnection[DictRow]) -> None:
        super().__init__(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
        self._database = database
        self._connection = connection
        self._connecting = asyncio.Lock()
        self._delivering: dict[_Namespace, dict[str, _TaskWrites]] = {}
        """By task, the writes with a user message that wait for the checkpoint which consumes them."""
        self._stepped = set[_Namespace]()
        """Where tasks have written since the last checkpoint."""
        self._new: dict[_Namespace, str] = {}
        """The checkpoint that a run saved last, while no task that continues it has asked or failed."""

    async def setup(self) -> None:
        """Create or change the saver's tables, one process at a time."""
        with self._known_errors():
            await self._wait_for_setup()
            try:
                await super().setup()
            finally:
                await self._execute("SELECT pg_advisory_unlock(%s)", (_SETUP_LOCK,))

    async def finish(self) -> None:
        """Close the connection. The store commits what waits."""
        await self._connection.close()

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint and the messages that it delivers, and remove them from the queue, in one transaction.

        Within a turn that is the next transaction of the store, else one that is on disk when this returns.
        """
        namespace = _namespace(config)
        waiting = self._delivering.get(namespace, {})
        consumed = {task: one for task, one in waiting.items() if one.checkpoint == get_checkpoint_id(config)}
        delivered = [id for one in consumed.values() for id in one.messages]
        delivered += user_messages(checkpoint["channel_values"].items())
        saved, statements = await _recorded(super().aput(config, checkpoint, metadata, new_versions))
        before = [one.statement for one in consumed.values()]
        work = _saving(namespace[0], [*before, *statements], delivered)
        if self._is_within_turn(namespace, checkpoint, metadata):
            self._database.write_later(work)
        else:
            await self._database.write(work)
        for task_id in consumed:
            waiting.pop(task_id, None)
        self._stepped.discard(namespace)
        self._new[namespace] = checkpoint["id"]
        return saved

    def _is_within_turn(self, namespace: _Namespace, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> bool:
        """Whether a step of a running turn, whose tasks wrote just now, is followed by another step."""
        wrote = metadata.get("source") == "loop" and namespace in self._stepped
        return wrote and starts_a_step(checkpoint["channel_values"]) and self._database.waiting < _MAX_WAITING

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save the writes of a task with the next transaction, or at once if no checkpoint may follow.

        Those with a user message are saved with the checkpoint that consumes them. On their own they would be lost with
        the process: the next one continues from the checkpoint before them, and the message would no longer be in the
        queue.
        """
        # Without waiting for anything: the checkpoint that follows must find them.
        statement = self._statement(config, writes, task_id, task_path)
        namespace = _namespace(config)
        self._stepped.add(namespace)
        if messages := user_messages(writes):
            written = _TaskWrites(get_checkpoint_id(config), statement, messages)
            self._delivering.setdefault(namespace, {})[task_id] = written
        elif WRITES_IDX_MAP.keys().isdisjoint(channel for channel, _ in writes):
            self._database.write_later(_saving(namespace[0], [statement]))
        else:
            self._new.pop(namespace, None)
            await self._database.write(_saving(namespace[0], [statement]))

    def _statement(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> _Statement:
        """Return what saves the writes of a task. Those to special channels replace the ones before."""
        replaces = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        statement = self.UPSERT_CHECKPOINT_WRITES_SQL if replaces else self.INSERT_CHECKPOINT_WRITES_SQL
        named = config["configurable"]
        place = (str(named["thread_id"]), named["checkpoint_ns"], named["checkpoint_id"])
        return statement, self._dump_writes(*place, task_id, task_path, writes)

    def is_new(self, thread_id: str, id: str) -> bool:
        """Return whether the present run saved a checkpoint last, and no task has asked or failed since."""
        return self._new.get((thread_id, "")) == id

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints of a thread."""
        _, statements = await _recorded(super().adelete_thread(thread_id))
        await self._database.write(_saving(thread_id, statements))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint in `config`, or the latest one of its thread; None if there is none."""
        self._new.pop(_namespace(config), None)  # a run begins, and another process may have continued the thread
        await self._database.flush()
        with self._known_errors():
            found = await super().aget_tuple(config)
        if found is not None:
            ensure_later_ids(found.config["configurable"]["checkpoint_id"])
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
        await self._database.flush()
        with self._known_errors():
            async for found in super().alist(config, filter=filter, before=before, limit=limit):
                yield found

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return for each channel the value of the nearest ancestor that has one, and the later writes."""
        await self._database.flush()
        with self._known_errors():
            return await super().aget_delta_channel_history(config=config, channels=channels)

    async def task_paths(self, thread_id: str) -> Mapping[tuple[str, str, str], str]:
        """Return the path of each task that wrote, by namespace, checkpoint and task."""
        await self._database.flush()
        with self._known_errors():
            async with self._cursor() as cursor:
                await cursor.execute(_PATHS, (thread_id,))
                rows = await cursor.fetchall()
        return {(row["checkpoint_ns"], row["checkpoint_id"], row["task_id"]): row["task_path"] for row in rows}

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[psycopg.AsyncCursor[DictRow]]:
        """Provide a cursor that reads. The saver asks for a pipeline where it saves: those statements are recorded."""
        if pipeline:
            yield cast("psycopg.AsyncCursor[DictRow]", _RECORDING.get())
            return
        await self._reconnect()
        async with super()._cursor() as cursor:
            yield cursor

    async def _reconnect(self) -> None:
        """Replace a connection that was lost. It has no lock."""
        async with self._connecting:
            if self._connection.closed:
                self.conn = self._connection = await _connection(self._database.url)

    @contextmanager
    def _known_errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.IntegrityError, psycopg.ProgrammingError):
            raise  # a programming error, not a problem with the server
        except psycopg.Error as error:
            raise postgres_error(error, self._database.name) from error

    async def _wait_for_setup(self) -> None:
        """Lock the setup. A statement that waits for the lock would stop the creation of the indexes."""
        for _ in range(_SETUP_ATTEMPTS):
            if await self._locked(_SETUP_LOCK):
                return
            await asyncio.sleep(_SETUP_SECONDS)
        raise TemporaryError(f"another process is setting up {self._database.name}", "try again")

    async def _locked(self, key: int) -> bool:
        row = await self._execute("SELECT pg_try_advisory_lock(%s) AS taken", (key,))
        return bool(row and row["taken"])

    async def _execute(self, statement: LiteralString, values: Sequence[Any] = ()) -> DictRow | None:
        """Run a statement while no other uses the connection, and return its first row."""
        async with self.lock:
            found = await self._connection.execute(statement, values)
            return await found.fetchone() if found.description else None


async def _recorded(saving: Awaitable[T]) -> tuple[T, list[_Statement]]:
    """Let the saver save, and return its result and the statements instead of performing them."""
    recording = _Recording()
    token = _RECORDING.set(recording)
    try:
        return await saving, recording.statements
    finally:
        _RECORDING.reset(token)


def _saving(
    thread_id: str, statements: Sequence[_Statement], messages: Sequence[str] = ()
) -> Callable[[SqlConnection], None]:
    """Return what performs statements and removes delivered messages from the queue."""

    def save(connection: SqlConnection) -> None:
        for statement, rows in statements:
            cast(TableConnection, connection).perform(statement, rows)
        if messages:
            delete_queued(connection, thread_id, messages)

    return save


async def _connection(url: str) -> psycopg.AsyncConnection[DictRow]:
    return await psycopg.AsyncConnection[DictRow].connect(
        connection_text(url, _SETTINGS), autocommit=True, prepare_threshold=0, row_factory=dict_row
    )


async def open_saver(database: PostgresDatabase) -> PostgresSaver:
    """Connect, and create the saver's tables. Raises the errors of `postgres_error`."""
    try:
        connection = await _connection(database.url)
    except psycopg.Error as error:
        raise postgres_error(error, database.name) from error
    saver = PostgresSaver(database, connection)
    try:
        await saver.setup()
    except BaseException:
        await saver.finish()
        raise
    return saver
