"""The tables of searches and of their attempts. Their contents are JSON; see search/saved.py."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ml_intern.configs.errors import UsageError
from ml_intern.store.connection import SqlConnection, ThreadDatabase

_COLUMNS = "id, folder, state, wanted, limits, body, created"


@dataclass(frozen=True)
class SearchRow:
    """A search. `wanted` and `limits` are what the user last asked for, `body` is written by its process only."""

    id: str
    folder: str
    state: str
    wanted: str
    """run, pause, finish or stop."""
    limits: str
    body: str
    created: float = field(default_factory=time.time, compare=False)


class SearchTable:
    """The searches of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def add(self, row: SearchRow) -> None:
        """Insert a search."""
        marks = ", ".join(f":{name}" for name in _COLUMNS.split(", "))
        statement = f"INSERT INTO searches ({_COLUMNS}) VALUES ({marks})"  # noqa: S608  constants only
        await self._database.write(lambda connection: connection.execute(statement, vars(row)))

    async def get(self, id: str) -> SearchRow:
        """Return the search with this id or unique prefix. Raises UsageError."""
        found = [row for row in await self.list() if id and row.id.startswith(id)]
        if len(found) != 1:
            problem = f"{id!r} matches several searches" if found else f"there is no search {id!r}"
            problem = problem if id else "there is no search in this folder"
            raise UsageError(problem, "run `ml-intern improve status` to list all searches")
        return found[0]

    async def list(self, folder: str | None = None) -> Sequence[SearchRow]:
        """Return the searches of a folder or of all folders, latest first."""
        query = f"SELECT {_COLUMNS} FROM searches ORDER BY created DESC"  # noqa: S608  constants only

        def read(connection: SqlConnection) -> list[SearchRow]:
            return [SearchRow(*found) for found in connection.execute(query)]

        return [row for row in await self._database.read(read) if folder in (None, row.folder)]

    async def save(self, id: str, state: str, body: str) -> None:
        """Save the state and the content of a search."""
        values = (state, body, id)
        await self._database.write(
            lambda connection: connection.execute("UPDATE searches SET state = ?, body = ? WHERE id = ?", values)
        )

    async def ask(self, id: str, *, wanted: str | None = None, limits: str | None = None) -> None:
        """Save what the user asks of a search. Its process reads it."""
        values = (wanted, limits, id)
        statement = "UPDATE searches SET wanted = coalesce(?, wanted), limits = coalesce(?, limits) WHERE id = ?"
        await self._database.write(lambda connection: connection.execute(statement, values))

    async def put_attempt(self, id: str, number: int, state: str, body: str) -> None:
        """Insert or replace an attempt of a search."""
        values = (id, number, state, body)
        statement = (
            "INSERT INTO attempts (search_id, number, state, body) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (search_id, number) DO UPDATE SET state = excluded.state, body = excluded.body"
        )
        await self._database.write(lambda connection: connection.execute(statement, values))

    async def attempts(self, id: str) -> Sequence[str]:
        """Return the attempts of a search in the order of their numbers."""
        query = "SELECT body FROM attempts WHERE search_id = ? ORDER BY number"
        return await self._database.read(lambda connection: [body for (body,) in connection.execute(query, (id,))])
