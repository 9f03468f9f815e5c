"""The table of events of threads, so that any machine can follow a thread."""

import time
from collections.abc import Sequence

from ml_intern.store.connection import SqlConnection, ThreadDatabase

MAX_EVENTS = 1_000
"""Events that are read at a time."""
LIVE = "ml_intern_live"
"""The channel of events that are not stored."""
_ANNOUNCE = "SELECT pg_notify(?, ?)"
_INSERT = (
    "INSERT INTO events (thread_id, seq, body, created) VALUES (?, ?, ?, ?) ON CONFLICT (thread_id, seq) DO NOTHING"
)


class StoredEvents:
    """The events of a database as JSON lines, by thread and number."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    def add(self, thread_id: str, seq: int, body: str) -> None:
        """Add an event in the next transaction."""
        values = (thread_id, seq, body, time.time())
        self._database.write_later(lambda connection: connection.execute(_INSERT, values))

    def announce(self, body: str) -> None:
        """Send an event that is not stored to those who follow threads, in the next transaction. Only on PostgreSQL."""
        self._database.write_later(lambda connection: connection.execute(_ANNOUNCE, (LIVE, body)))

    async def save(self) -> None:
        """Commit what was added. A crash of the machine may lose the last moment."""
        await self._database.write(lambda _: None, synced=False)

    async def after(self, thread_id: str, seq: int) -> Sequence[tuple[int, str]]:
        """Return the numbers and bodies of the next events after a number, at most MAX_EVENTS."""
        query = "SELECT seq, body FROM events WHERE thread_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        return await self._read(query, (thread_id, seq, MAX_EVENTS))

    async def latest(self, thread_id: str, count: int) -> Sequence[tuple[int, str]]:
        """Return the numbers and bodies of the last `count` events, in order."""
        query = (
            "SELECT seq, body FROM "
            "(SELECT seq, body FROM events WHERE thread_id = ? ORDER BY seq DESC LIMIT ?) AS last ORDER BY seq"
        )
        return await self._read(query, (thread_id, count))

    async def forget(self, before: float) -> None:
        """Delete the events before a time, in seconds since the epoch. The conversations stay."""
        statement = "DELETE FROM events WHERE created < ?"
        await self._database.write(lambda connection: connection.execute(statement, (before,)).rowcount)

    async def _read(self, query: str, values: tuple[str | int, ...]) -> Sequence[tuple[int, str]]:
        def read(connection: SqlConnection) -> list[tuple[int, str]]:
            return [(int(seq), str(body)) for seq, body in connection.execute(query, values)]

        return await self._database.read(read)
