"""The table of background runs: what was started, how it went, and what the model has not been told yet."""

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from store.database import Database

RUNNING = "running"
_COLUMNS = "id, thread_id, command, state, exit_code, tail"


@dataclass(frozen=True)
class RunRow:
    """A background run. Every state but `running` is final."""

    id: str
    thread_id: str
    command: str
    state: str = RUNNING
    exit_code: int | None = None
    tail: str = ""
    """The end of its output, as the model may see it."""


class RunChanges(TypedDict, total=False):
    """The fields of a run that change."""

    state: str
    exit_code: int | None
    tail: str


class Runs:
    """The background runs of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: RunRow) -> None:
        """Write down a run before it starts."""
        statement = f"INSERT INTO runs ({_COLUMNS}, started) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  constants only
        values = (*vars(row).values(), time.time())
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    async def update(self, id: str, **changes: Unpack[RunChanges]) -> None:
        """Change a run. Raises KeyError when there is none."""
        values: dict[str, Any] = {name: changes[name] for name in RunChanges.__annotations__ if name in changes}  # type: ignore[literal-required]
        if values.get("state", RUNNING) != RUNNING:
            values["finished"] = time.time()
        settings = ", ".join(f"{name} = :{name}" for name in values)
        statement = f"UPDATE runs SET {settings} WHERE id = :id"  # noqa: S608  names from the TypedDict

        def change(connection: sqlite3.Connection) -> int:
            return connection.execute(statement, {**values, "id": id}).rowcount

        if await self._database.write(change) == 0:
            raise KeyError(id)

    async def get(self, id: str) -> RunRow | None:
        """The run with this id, or None."""
        return next(iter(await self._database.read(_selection("id = ?", id))), None)

    async def finished_unreported(self, thread_id: str, reported: Collection[str]) -> Sequence[RunRow]:
        """The finished runs of a thread whose ids are not among `reported`, oldest first."""
        rows = await self._database.read(_selection("thread_id = ? AND state <> ?", thread_id, RUNNING))
        return [row for row in rows if row.id not in reported]

    async def pending(self, thread_id: str) -> bool:
        """Whether a run of the thread is still under way."""
        return bool(await self._database.read(_selection("thread_id = ? AND state = ?", thread_id, RUNNING)))

    async def list(self, thread_id: str) -> Sequence[RunRow]:
        """The runs of a thread, oldest first."""
        return await self._database.read(_selection("thread_id = ?", thread_id))


def _selection(where: str, *values: str) -> Callable[[sqlite3.Connection], list[RunRow]]:
    query = f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY started, rowid"  # noqa: S608  constants only
    return lambda connection: [RunRow(*found) for found in connection.execute(query, values)]
