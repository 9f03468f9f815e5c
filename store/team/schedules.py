"""The table of schedules: prompts for new threads at regular times. Each firing is claimed in one transaction."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from ml_intern.store.connection import SqlConnection, ThreadDatabase
from ml_intern.store.team.operations import append_operation, serve_thread
from ml_intern.store.threads import insert_missing

_COLUMNS = "id, cron, timezone, prompt, folder, options, due, missed, thread_id, fired, created"
_MARKS = ", ".join("?" for _ in _COLUMNS.split(", "))


@dataclass(frozen=True)
class Schedule:
    """A prompt and the times at which it starts a thread. Times are in seconds since the epoch."""

    id: str
    cron: str
    timezone: str
    prompt: str
    folder: str
    options: Mapping[str, Any]
    """The options of the threads, by the names of SessionRequest."""
    due: float
    """The time of the next firing."""
    missed: int = 0
    """The number of firings that did not happen, because nothing ran the schedules."""
    thread_id: str = ""
    """The thread of the last firing."""
    fired: float | None = None
    created: float = 0.0


class Schedules:
    """The schedules of a database. In a shared one, a firing posts the prompt, and a worker runs it."""

    def __init__(self, database: ThreadDatabase, *, shared: bool) -> None:
        self._database = database
        self._shared = shared

    async def add(self, schedule: Schedule) -> None:
        """Add a schedule."""
        values = (*_values(schedule)[:-1], time.time())
        statement = f"INSERT INTO schedules ({_COLUMNS}) VALUES ({_MARKS})"  # noqa: S608  constants only
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    async def list(self) -> Sequence[Schedule]:
        """Return all schedules, oldest first."""
        return await self._select("ORDER BY created, id")

    async def due(self, now: float) -> Sequence[Schedule]:
        """Return the schedules that are due."""
        return await self._select("WHERE due <= ? ORDER BY due, id", now)

    async def remove(self, id: str) -> bool:
        """Delete a schedule. Its threads stay. Return whether it existed."""
        statement = "DELETE FROM schedules WHERE id = ?"
        return bool(await self._database.write(lambda connection: connection.execute(statement, (id,)).rowcount))

    async def skip(self, schedule: Schedule, due: float, missed: int) -> bool:
        """Set the next time without a firing. Return False if another process was first."""
        return await self._database.write(lambda connection: _claim(connection, schedule, due, missed))

    async def fire(self, schedule: Schedule, due: float, missed: int) -> str:
        """Set the next time and create the thread of this firing. Return its id, or "" if another process was first."""
        thread_id, operation_id, now = str(uuid4()), uuid4().hex, time.time()

        def claim(connection: SqlConnection) -> str:
            if not _claim(connection, schedule, due, missed):
                return ""
            statement = "UPDATE schedules SET thread_id = ?, fired = ? WHERE id = ?"
            connection.execute(statement, (thread_id, now, schedule.id))
            insert_missing(connection, thread_id, folder=schedule.folder)
            if self._shared:
                serve_thread(connection, thread_id, schedule.options)
                body = {"type": "user_input", "text": schedule.prompt, "id": operation_id}
                append_operation(connection, thread_id, operation_id, body)
            return thread_id

        return await self._database.write(claim)

    async def _select(self, condition: str, *values: float) -> Sequence[Schedule]:
        query = f"SELECT {_COLUMNS} FROM schedules {condition}"  # noqa: S608  constants only
        return await self._database.read(
            lambda connection: [_schedule(*found) for found in connection.execute(query, values)]
        )


def _claim(connection: SqlConnection, schedule: Schedule, due: float, missed: int) -> bool:
    statement = "UPDATE schedules SET due = ?, missed = missed + ? WHERE id = ? AND due = ?"
    return connection.execute(statement, (due, missed, schedule.id, schedule.due)).rowcount == 1


def _values(schedule: Schedule) -> tuple[Any, ...]:
    fields = {**vars(schedule), "options": json.dumps(schedule.options)}
    return tuple(fields[name] for name in _COLUMNS.split(", "))


def _schedule(*found: Any) -> Schedule:
    fields = dict(zip(_COLUMNS.split(", "), found, strict=True))
    return Schedule(**{**fields, "options": json.loads(fields["options"])})
