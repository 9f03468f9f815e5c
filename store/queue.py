"""The table of messages that wait for their turn. A row exists until a committed checkpoint holds the message."""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ml_intern.configs.errors import UsageError
from ml_intern.store.connection import SqlConnection, ThreadDatabase
from ml_intern.store.threads import insert_missing

_COLUMNS = "id, position, steer, body, created"
_FIRST = "coalesce(min(position), 1) - 1"
_LAST = "coalesce(max(position), 0) + 1"


@dataclass(frozen=True)
class QueuedRow:
    """A queued message. `body` holds its fields as JSON values."""

    id: str
    body: Mapping[str, Any]
    position: int = 0
    """The place in the order of the thread, set by `add`."""
    steer: bool = False
    """Whether the running turn takes it before its next model call."""
    created: float = field(default_factory=time.time)


class QueuedMessages:
    """The queued messages of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def add(self, thread_id: str, row: QueuedRow, *, folder: str, title: str, first: bool = False) -> int:
        """Append a message, or insert it before all others. Return its position.

        The same transaction creates the row of a new thread from `folder` and `title`, so that the thread is found
        after a crash. Raises UsageError if the id is already queued.
        """
        place = f"SELECT {_FIRST if first else _LAST} FROM queued_messages WHERE thread_id = ?"  # noqa: S608  constants only
        statement = (
            f"INSERT INTO queued_messages (thread_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) "  # noqa: S608  constants only
            "ON CONFLICT DO NOTHING"
        )

        def insert(connection: SqlConnection) -> int:
            insert_missing(connection, thread_id, folder=folder, title=title)
            (position,) = connection.execute(place, (thread_id,)).fetchone()
            values = (thread_id, row.id, position, row.steer, json.dumps(row.body), row.created)
            if not connection.execute(statement, values).rowcount:
                raise UsageError(f"the message {row.id} is already queued")
            return int(position)

        return await self._database.write(insert)

    async def list(self, thread_id: str) -> Sequence[QueuedRow]:
        """Return the queued messages of a thread in order."""
        query = f"SELECT {_COLUMNS} FROM queued_messages WHERE thread_id = ? ORDER BY position"  # noqa: S608  constants only
        return await self._database.read(
            lambda connection: [_row(*found) for found in connection.execute(query, (thread_id,))]
        )

    async def update(self, thread_id: str, row: QueuedRow) -> None:
        """Save the changed fields of a message, except for its position."""
        statement = "UPDATE queued_messages SET steer = ?, body = ? WHERE thread_id = ? AND id = ?"
        values = (row.steer, json.dumps(row.body), thread_id, row.id)
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    async def remove(self, thread_id: str, ids: Collection[str]) -> None:
        """Remove messages. Unknown ids are ignored."""
        await self._database.write(lambda connection: delete_queued(connection, thread_id, ids))

    async def move(self, ids: Collection[str], source: str, target: str, *, folder: str) -> None:
        """Move messages to another thread, which is created if it is new."""
        statement = "UPDATE queued_messages SET thread_id = ? WHERE thread_id = ? AND id = ?"

        def move(connection: SqlConnection) -> None:
            insert_missing(connection, target, folder=folder)
            connection.executemany(statement, [(target, source, id) for id in ids])

        await self._database.write(move)


def delete_queued(connection: SqlConnection, thread_id: str, ids: Collection[str]) -> None:
    """Remove messages of a thread within a transaction."""
    statement = "DELETE FROM queued_messages WHERE thread_id = ? AND id = ?"
    connection.executemany(statement, [(thread_id, id) for id in ids])


def _row(id: str, position: int, steer: int, body: str, created: float) -> QueuedRow:
    return QueuedRow(id, json.loads(body), position, bool(steer), created)
