"""LangGraph's PostgreSQL saver on a connection that has locked its threads. Its tables are those of the package."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
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

from ml_intern.configs.errors import TemporaryError
from ml_intern.store.checkpoints.delivered import user_messages
from ml_intern.store.checkpoints.ids import ensure_later_ids
from ml_intern.store.postgres.database import SILENT_SECONDS, connection_text, database_name, postgres_error
from ml_intern.store.postgres.locks import CHECKPOINTS, lock_key, thread_locked

_DELETE: Final = "DELETE FROM ml_intern.queued_messages WHERE thread_id = %s AND id = ANY(%s)"
_PATHS: Final = (
    "SELECT DISTINCT checkpoint_ns, checkpoint_id, task_id, task_path "
    "FROM public.checkpoint_writes WHERE thread_id = %s"
)
_SETTINGS: Final = {
    "idle_session_timeout": f"{SILENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{SILENT_SECONDS}s",
    "search_path": "public",
}
_SETUP_LOCK: Final = 0x6D6C696F
_SETUP_ATTEMPTS: Final = 300
_SETUP_SECONDS: Final = 0.1


_Namespace = tuple[str, str]


def _namespace(config: RunnableConfig) -> _Namespace:
    named = config["configurable"]
    return str(named["thread_id"]), str(named.get("checkpoint_ns", ""))


@dataclass(frozen=True)
class _TaskWrites:
    """The writes of a task that continues the checkpoint in `config`."""

    config: RunnableConfig
    writes: Sequence[tuple[str, Any]]
    task_path: str

    @property
    def checkpoint(self) -> str | None:
        return get_checkpoint_id(self.config)


class PostgresSaver(AsyncPostgresSaver):
    """The checkpointer of a store on PostgreSQL. Use `open_saver`, and `finish` at the end."""

    def __init__(self, connection: psycopg.AsyncConnection[DictRow], name: str) -> None:
        super().__init__(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
        # After a pipeline, whose last message is a flush, the server does not notice that the connection is silent.
        self.supports_pipeline = False
        self._connection = connection
        self._name = name
        self._writing = asyncio.Lock()
        """Held during a transaction, so that no other write becomes part of it."""
        self._delivering: dict[_Namespace, dict[str, _TaskWrites]] = {}
        """By task, the writes with a user message that wait for the checkpoint which consumes them."""
        self._beating = asyncio.create_task(self._beat())

    @property
    def was_lost(self) -> bool:
        """Whether the connection has ended."""
        return bool(self._connection.closed)

    async def setup(self) -> None:
        """Create or change the saver's tables, one process at a time."""
        with self._known_errors():
            await self._wait_for_setup()
            try:
                await super().setup()
            finally:
                await self._execute("SELECT pg_advisory_unlock(%s)", (_SETUP_LOCK,))

    async def finish(self) -> None:
        """Close the connection."""
        self._beating.cancel()
        await self._connection.close()

    async def lock_thread(self, thread_id: str) -> None:
        """Lock a thread on this connection. Raises ThreadLocked."""
        with self._known_errors():
            if not await self._locked(lock_key(thread_id, CHECKPOINTS)):
                raise thread_locked(thread_id, "")

    async def unlock_thread(self, thread_id: str) -> None:
        """Release the lock of a thread. A lost connection has released it."""
        with suppress(psycopg.Error):
            await self._execute("SELECT pg_advisory_unlock(%s)", (lock_key(thread_id, CHECKPOINTS),))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint and the messages that it delivers, and remove them from the queue, in one transaction."""
        waiting = self._delivering.get(_namespace(config), {})
        consumed = {task: one for task, one in waiting.items() if one.checkpoint == get_checkpoint_id(config)}
        delivered = [id for one in consumed.values() for id in user_messages(one.writes)]
        async with self._commit(config, [*delivered, *user_messages(checkpoint["channel_values"].items())]):
            for task_id, one in consumed.items():
                await super().aput_writes(one.config, one.writes, task_id, one.task_path)
            saved = await super().aput(config, checkpoint, metadata, new_versions)
        for task_id in consumed:
            del waiting[task_id]
        return saved

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save the writes of a task. Those with a user message are saved with the checkpoint that consumes them.

        On their own they would be lost with the process: the next one continues from the checkpoint before them, and
        the message would no longer be in the queue.
        """
        if user_messages(writes):
            self._delivering.setdefault(_namespace(config), {})[task_id] = _TaskWrites(config, writes, task_path)
            return
        async with self._commit(config, ()):
            await super().aput_writes(config, writes, task_id, task_path)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint in `config`, or the latest one of its thread; None if there is none."""
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
        with self._known_errors():
            async for found in super().alist(config, filter=filter, before=before, limit=limit):
                yield found

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return for each channel the value of the nearest ancestor that has one, and the later writes."""
        with self._known_errors():
            return await super().aget_delta_channel_history(config=config, channels=channels)

    async def task_paths(self, thread_id: str) -> Mapping[tuple[str, str, str], str]:
        """Return the path of each task that wrote, by namespace, checkpoint and task."""
        with self._known_errors():
            async with self.lock:
                found = await self._connection.execute(_PATHS, (thread_id,))
                rows = await found.fetchall()
        return {(row["checkpoint_ns"], row["checkpoint_id"], row["task_id"]): row["task_path"] for row in rows}

    @asynccontextmanager
    async def _commit(self, config: RunnableConfig, messages: Sequence[str]) -> AsyncIterator[None]:
        """Run the block while no other write does. If there are messages, a transaction removes them from the queue."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self._known_errors())
            await stack.enter_async_context(self._writing)
            if messages:
                values = (str(config["configurable"]["thread_id"]), list(messages))
                await stack.enter_async_context(self._transaction(values))
            yield

    @asynccontextmanager
    async def _transaction(self, delivered: tuple[str, list[str]]) -> AsyncIterator[None]:
        await self._execute("BEGIN")
        try:
            await self._execute(_DELETE, delivered)
            yield
        except BaseException:
            await self._execute("ROLLBACK")
            raise
        await self._execute("COMMIT")

    @contextmanager
    def _known_errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.IntegrityError, psycopg.ProgrammingError):
            raise  # a programming error, not a problem with the server
        except psycopg.Error as error:
            raise postgres_error(error, self._name) from error

    async def _wait_for_setup(self) -> None:
        """Lock the setup. A statement that waits for the lock would stop the creation of the indexes."""
        for _ in range(_SETUP_ATTEMPTS):
            if await self._locked(_SETUP_LOCK):
                return
            await asyncio.sleep(_SETUP_SECONDS)
        raise TemporaryError(f"another process is setting up {self._name}", "try again")

    async def _locked(self, key: int) -> bool:
        row = await self._execute("SELECT pg_try_advisory_lock(%s) AS taken", (key,))
        return bool(row and row["taken"])

    async def _beat(self) -> None:
        """Tell the server that this process is alive, until the connection ends."""
        with suppress(psycopg.Error):
            while True:
                await asyncio.sleep(SILENT_SECONDS / 4)
                await self._execute("SELECT 1")

    async def _execute(self, statement: LiteralString, values: Sequence[Any] = ()) -> DictRow | None:
        """Run a statement while no other uses the connection, and return its first row."""
        async with self.lock:
            found = await self._connection.execute(statement, values)
            return await found.fetchone() if found.description else None


async def open_saver(url: str) -> PostgresSaver:
    """Connect, and create the saver's tables. Raises the errors of `postgres_error`."""
    name = database_name(url)
    try:
        connection = await psycopg.AsyncConnection[DictRow].connect(
            connection_text(url, _SETTINGS), autocommit=True, prepare_threshold=0, row_factory=dict_row
        )
    except psycopg.Error as error:
        raise postgres_error(error, name) from error
    saver = PostgresSaver(connection, name)
    try:
        await saver.setup()
    except BaseException:
        await saver.finish()
        raise
    return saver
