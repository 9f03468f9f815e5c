"""The table of operations that were posted to threads. The session that has locked a thread performs them in order."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ml_intern.configs.errors import UsageError
from ml_intern.store.connection import SqlConnection, ThreadDatabase

OperationState = Literal["open", "begun", "done", "refused"]
"""A begun operation may have been performed in part by a session that ended before it could say so."""
MAX_STARTS = 3
"""Sessions in a row that may end without progress. Then no worker opens the thread until something is posted."""
_UNDONE = "('open', 'begun')"
_COLUMNS = "id, thread_id, body, author, state, problem"
_INSERT = (
    "INSERT INTO operations (id, thread_id, position, body, author, state, problem, created) "
    "VALUES (?, ?, ?, ?, ?, 'open', '', ?) ON CONFLICT DO NOTHING"
)
_SERVE = (
    "INSERT INTO served_threads (thread_id, options, starts, in_turn) VALUES (?, '{}', 0, 0) "
    "ON CONFLICT (thread_id) DO UPDATE SET starts = 0"
)
_UNFINISHED = (
    "SELECT thread_id FROM served_threads WHERE starts < ? AND (in_turn = 1 OR "
    "thread_id IN (SELECT thread_id FROM operations WHERE state IN ('open', 'begun')) "
    "OR thread_id IN (SELECT id FROM threads WHERE state = 'running') "
    "OR thread_id IN (SELECT thread_id FROM runs WHERE state IN ('queued', 'running')))"
)


@dataclass(frozen=True)
class PostedOperation:
    """An operation of a thread. `body` is its JSON, `problem` the JSON of the error that refused it."""

    id: str
    thread_id: str
    body: Mapping[str, Any]
    author: str
    state: OperationState
    problem: Mapping[str, Any]


class PostedOperations:
    """The posted operations of a database, and the threads to which they were posted."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def serve(self, thread_id: str, options: Mapping[str, Any]) -> None:
        """Let any machine run a thread, in sessions with these options, given by the names of SessionRequest."""
        await self._database.write(lambda connection: serve_thread(connection, thread_id, options))

    async def options(self, thread_id: str) -> Mapping[str, Any]:
        """Return the options of a thread's sessions."""
        query = "SELECT options FROM served_threads WHERE thread_id = ?"

        def read(connection: SqlConnection) -> Mapping[str, Any]:
            found = connection.execute(query, (thread_id,)).fetchone()
            return json.loads(found[0]) if found else {}

        return await self._database.read(read)

    async def post(self, thread_id: str, id: str, body: Mapping[str, Any], author: str = "") -> None:
        """Append an operation. One with a known id is not appended again. Raises UsageError if there is no thread."""

        def insert(connection: SqlConnection) -> None:
            if connection.execute("SELECT 1 FROM threads WHERE id = ?", (thread_id,)).fetchone() is None:
                raise UsageError(f"no thread {thread_id[:100]!r}", "`ml-intern threads list` shows the ids")
            append_operation(connection, thread_id, id, body, author)

        await self._database.write(insert)

    async def open_of(self, thread_id: str) -> Sequence[PostedOperation]:
        """Return the operations of a thread that are to be performed, in order."""
        query = f"SELECT {_COLUMNS} FROM operations WHERE thread_id = ? AND state IN {_UNDONE} ORDER BY position"  # noqa: S608  constants only
        return await self._database.read(
            lambda connection: [_operation(*found) for found in connection.execute(query, (thread_id,))]
        )

    async def get(self, id: str) -> PostedOperation | None:
        """Return an operation, or None."""
        query = f"SELECT {_COLUMNS} FROM operations WHERE id = ?"  # noqa: S608  constants only

        def read(connection: SqlConnection) -> PostedOperation | None:
            found = connection.execute(query, (id,)).fetchone()
            return _operation(*found) if found else None

        return await self._database.read(read)

    async def begin(self, id: str) -> None:
        """Mark an operation as begun, before it is performed."""
        statement = "UPDATE operations SET state = 'begun' WHERE id = ? AND state = 'open'"
        await self._database.write(lambda connection: connection.execute(statement, (id,)).rowcount)

    async def finish(self, id: str, problem: Mapping[str, Any] | None = None) -> None:
        """Mark an operation as performed, or as refused because of a problem."""
        statement = f"UPDATE operations SET state = ?, problem = ?, finished = ? WHERE id = ? AND state IN {_UNDONE}"  # noqa: S608  constants only
        values = ("refused" if problem else "done", json.dumps(problem) if problem else "", time.time(), id)
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    async def unfinished_threads(self) -> Sequence[str]:
        """Return the threads that need a session: something was posted, or a turn or a background run has not ended.

        Threads whose last MAX_STARTS sessions ended without progress are not among them.
        """
        return await self._database.read(
            lambda connection: [id for (id,) in connection.execute(_UNFINISHED, (MAX_STARTS,))]
        )

    async def is_in_turn(self, thread_id: str) -> bool:
        """Return whether a turn of a thread has begun and not ended."""
        query = "SELECT 1 FROM served_threads WHERE thread_id = ? AND in_turn = 1"
        return await self._database.read(
            lambda connection: connection.execute(query, (thread_id,)).fetchone() is not None
        )

    async def count_start(self, thread_id: str) -> None:
        """Count the start of a session."""
        statement = "UPDATE served_threads SET starts = starts + 1 WHERE thread_id = ?"
        await self._database.write(lambda connection: connection.execute(statement, (thread_id,)).rowcount)

    async def give_up(self, thread_id: str) -> None:
        """Let no worker open the thread until something is posted."""
        statement = "UPDATE served_threads SET starts = ? WHERE thread_id = ?"
        await self._database.write(lambda connection: connection.execute(statement, (MAX_STARTS, thread_id)).rowcount)

    async def starts(self, thread_id: str) -> int:
        """Return the number of sessions since the last progress."""
        query = "SELECT starts FROM served_threads WHERE thread_id = ?"

        def read(connection: SqlConnection) -> int:
            found = connection.execute(query, (thread_id,)).fetchone()
            return int(found[0]) if found else 0

        return await self._database.read(read)

    def note_turn(self, thread_id: str, *, in_turn: bool) -> None:
        """Note in the next transaction, which adds the event, that a turn began or ended.

        If a process ends before the event of a turn's end is stored, the next one reports the end.
        """
        statement = "UPDATE served_threads SET in_turn = ? WHERE thread_id = ?"
        self._database.write_later(lambda connection: connection.execute(statement, (in_turn, thread_id)))

    def note_progress(self, thread_id: str) -> None:
        """Note in the next transaction that a session of the thread got somewhere."""
        statement = "UPDATE served_threads SET starts = 0 WHERE thread_id = ? AND starts > 0"
        self._database.write_later(lambda connection: connection.execute(statement, (thread_id,)))

    async def forget(self, before: float) -> None:
        """Delete the operations that were finished before a time, in seconds since the epoch."""
        statement = "DELETE FROM operations WHERE finished < ?"
        await self._database.write(lambda connection: connection.execute(statement, (before,)).rowcount)


def serve_thread(connection: SqlConnection, thread_id: str, options: Mapping[str, Any]) -> None:
    """Let any machine run a thread, within a transaction."""
    statement = (
        "INSERT INTO served_threads (thread_id, options, starts, in_turn) VALUES (?, ?, 0, 0) "
        "ON CONFLICT (thread_id) DO UPDATE SET options = excluded.options"
    )
    connection.execute(statement, (thread_id, json.dumps(options)))


def append_operation(
    connection: SqlConnection, thread_id: str, id: str, body: Mapping[str, Any], author: str = ""
) -> None:
    """Append an operation to those of a thread, within a transaction."""
    last = "SELECT coalesce(max(position), 0) FROM operations WHERE thread_id = ?"
    position = int(connection.execute(last, (thread_id,)).fetchone()[0]) + 1
    connection.execute(_INSERT, (id, thread_id, position, json.dumps(body), author, time.time()))
    connection.execute(_SERVE, (thread_id,))


def _operation(id: str, thread_id: str, body: str, author: str, state: OperationState, problem: str) -> PostedOperation:
    return PostedOperation(id, thread_id, json.loads(body), author, state, json.loads(problem or "{}"))
