"""The journal of tool calls: committed before a call and after it, so that no call runs twice and none is lost."""

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any, Literal

from ml_intern.store.database import Database

_COLUMNS = "thread_id, message_id, position, tool, digest, status, result, handle, started, finished"
_OF_KEY = "thread_id = ? AND message_id = ? AND position = ?"


@dataclass(frozen=True)
class CallKey:
    """Names a call: the thread, the AIMessage that asked for it, and its place among that message's calls."""

    thread_id: str
    message_id: str
    index: int


@dataclass(frozen=True)
class JournalRow:
    """What is known of a call. Times are seconds since the epoch."""

    key: CallKey
    tool: str
    digest: str
    status: Literal["started", "finished"]
    result: dict[str, Any] | None
    """None while it runs, and again once a later message shows that a checkpoint holds the result."""
    handle: str | None
    """How to find what it started: the id of a run or of a sub-agent's thread."""
    started: float
    finished: float | None


class Journal:
    """The journal of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, key: CallKey, tool: str, digest: str) -> JournalRow | None:
        """Write down, on disk, that a call is about to run; or return what is known of it when it started before.

        Empties the results of the thread's other messages in the same transaction: the model has answered since,
        so a durable checkpoint holds them.
        """
        statement = (
            "INSERT INTO journal (thread_id, message_id, position, tool, digest, status, started) "
            "VALUES (?, ?, ?, ?, ?, 'started', ?) ON CONFLICT DO NOTHING"
        )
        named = (key.thread_id, key.message_id, key.index)

        def begin(connection: sqlite3.Connection) -> JournalRow | None:
            connection.execute(
                "UPDATE journal SET result = NULL WHERE thread_id = ? AND message_id <> ? AND result IS NOT NULL",
                (key.thread_id, key.message_id),
            )
            if connection.execute(statement, (*named, tool, digest, time.time())).rowcount:
                return None
            return _row(connection.execute(f"SELECT {_COLUMNS} FROM journal WHERE {_OF_KEY}", named).fetchone())  # noqa: S608  constants only

        return await self._database.write(begin)

    async def set_handle(self, key: CallKey, handle: str) -> None:
        """Keep how to find what a call started. Raises KeyError when the call never started."""
        await self._update("handle = ?", key, handle)

    async def finish(self, key: CallKey, result: dict[str, Any]) -> None:
        """Write down, on disk, what a call gave. Raises KeyError when the call never started."""
        text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        await self._update("status = 'finished', result = ?, finished = ?", key, text, time.time())

    async def open(self, thread_id: str) -> list[JournalRow]:
        """The calls of a thread that started and did not finish, oldest first."""
        return await self._select("thread_id = ? AND status = 'started'", thread_id)

    async def of_message(self, thread_id: str, message_id: str) -> list[JournalRow]:
        """The calls of one AIMessage, in the model's order."""
        return await self._select("thread_id = ? AND message_id = ?", thread_id, message_id)

    async def spans(self, thread_id: str) -> dict[CallKey, tuple[float, float | None]]:
        """When each call of a thread began and ended, in seconds since the epoch; None while it runs."""
        query = "SELECT thread_id, message_id, position, started, finished FROM journal WHERE thread_id = ?"

        def select(connection: sqlite3.Connection) -> dict[CallKey, tuple[float, float | None]]:
            rows = connection.execute(query, (thread_id,))
            return {CallKey(*key): (started, finished) for *key, started, finished in rows}

        return await self._database.read(select)

    async def _select(self, where: str, *values: str | int) -> list[JournalRow]:
        query = f"SELECT {_COLUMNS} FROM journal WHERE {where} ORDER BY started, position"  # noqa: S608  constants only

        def select(connection: sqlite3.Connection) -> list[JournalRow]:
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
