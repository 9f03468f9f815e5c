"""The journal of tool calls, committed before and after each call, so that no call runs twice or is lost."""

import json
import time
from dataclasses import dataclass
from typing import Any, Literal

from ml_intern.store.connection import SqlConnection, ThreadDatabase

_COLUMNS = "thread_id, message_id, position, tool, digest, status, result, handle, started, finished"
_TICK_S = 0.02
_OF_KEY = "thread_id = ? AND message_id = ? AND position = ?"


@dataclass(frozen=True)
class CallKey:
    """Identifies a call: the thread, the AIMessage with the call, and its index among the message's calls."""

    thread_id: str
    message_id: str
    index: int


@dataclass(frozen=True)
class JournalRow:
    """The journal entry of a call. Times are in seconds since the epoch."""

    key: CallKey
    tool: str
    digest: str
    status: Literal["started", "finished"]
    result: dict[str, Any] | None
    """None while the call runs, and again once a later message proves that a checkpoint contains the result."""
    handle: str | None
    """The id of what the call started: a run or a sub-agent's thread."""
    started: float
    finished: float | None

    @property
    def began(self) -> int:
        """Return the start in nanoseconds, by a clock that may be behind by a tick, as that of file times is."""
        return int((self.started - _TICK_S) * 1e9)


class Journal:
    """The journal of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def start(self, key: CallKey, tool: str, digest: str) -> JournalRow | None:
        """Record on disk that a call is about to run. Return its entry instead if it has already started.

        The same transaction clears the results of the thread's other messages: the model has replied since, so a
        durable checkpoint contains them.
        """
        statement = (
            "INSERT INTO journal (thread_id, message_id, position, tool, digest, status, started) "
            "VALUES (?, ?, ?, ?, ?, 'started', ?) ON CONFLICT DO NOTHING"
        )
        named = (key.thread_id, key.message_id, key.index)

        def begin(connection: SqlConnection) -> JournalRow | None:
            connection.execute(
                "UPDATE journal SET result = NULL WHERE thread_id = ? AND message_id <> ? AND result IS NOT NULL",
                (key.thread_id, key.message_id),
            )
            if connection.execute(statement, (*named, tool, digest, time.time())).rowcount:
                return None
            return _row(connection.execute(f"SELECT {_COLUMNS} FROM journal WHERE {_OF_KEY}", named).fetchone())  # noqa: S608  constants only

        return await self._database.write(begin)

    async def set_handle(self, key: CallKey, handle: str) -> None:
        """Record the id of what a call started. Raises KeyError if the call has not started."""
        await self._update("handle = ?", key, handle)

    async def finish(self, key: CallKey, result: dict[str, Any]) -> None:
        """Record the result of a call on disk. Raises KeyError if the call has not started."""
        text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        await self._update("status = 'finished', result = ?, finished = ?", key, text, time.time())

    async def open_calls(self, thread_id: str) -> list[JournalRow]:
        """Return the unfinished calls of a thread, oldest first."""
        return await self._select("thread_id = ? AND status = 'started'", thread_id)

    async def of_message(self, thread_id: str, message_id: str) -> list[JournalRow]:
        """Return the calls of one AIMessage in the model's order."""
        return await self._select("thread_id = ? AND message_id = ?", thread_id, message_id)

    async def spans(self, thread_id: str) -> dict[CallKey, tuple[float, float | None]]:
        """Return start and end of each call of a thread in seconds since the epoch; the end is None while it runs."""
        query = "SELECT thread_id, message_id, position, started, finished FROM journal WHERE thread_id = ?"

        def select(connection: SqlConnection) -> dict[CallKey, tuple[float, float | None]]:
            rows = connection.execute(query, (thread_id,))
            return {CallKey(*key): (started, finished) for *key, started, finished in rows}

        return await self._database.read(select)

    async def _select(self, where: str, *values: str | int) -> list[JournalRow]:
        query = f"SELECT {_COLUMNS} FROM journal WHERE {where} ORDER BY started, position"  # noqa: S608  constants only

        def select(connection: SqlConnection) -> list[JournalRow]:
            return [_row(found) for found in connection.execute(query, values)]

        return await self._database.read(select)

    async def _update(self, settings: str, key: CallKey, *values: str | float) -> None:
        statement = f"UPDATE journal SET {settings} WHERE {_OF_KEY}"  # noqa: S608  constants only
        found = (*values, key.thread_id, key.message_id, key.index)
        if await self._database.write(lambda connection: connection.execute(statement, found).rowcount) == 0:
            raise KeyError(key)


def _row(found: tuple[Any, ...]) -> JournalRow:
    thread_id, message_id, position, tool, digest, status, result, *rest = found
    parsed = json.loads(result) if result is not None else None
    return JournalRow(CallKey(thread_id, message_id, position), tool, digest, status, parsed, *rest)
