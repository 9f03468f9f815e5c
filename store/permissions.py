"""The table of "always" answers: permanent permissions in a folder, for one thread in it, or in every folder."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ml_intern.store.connection import SqlConnection, ThreadDatabase

EVERYWHERE = ""
"""The folder of a grant that applies in every folder."""
_COLUMNS = "id, folder, thread_id, tool, prefix, created"


@dataclass(frozen=True)
class Grant:
    """The permission of an answer: commands that begin with a prefix or, without a prefix, a whole tool."""

    tool: str
    prefix: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Return the grant as shown to the user."""
        return " ".join(self.prefix) or self.tool

    def as_json(self) -> dict[str, Any]:
        """Return the grant as stored in an interrupt."""
        return {"tool": self.tool, "prefix": list(self.prefix)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the grant from the result of `as_json`."""
        return cls(data["tool"], tuple(data["prefix"]))


@dataclass(frozen=True)
class PermissionRow:
    """A grant and its scope: a folder (EVERYWHERE: every one) and, unless `thread_id` is None, one thread in it."""

    id: int
    folder: str
    thread_id: str | None
    grant: Grant
    created: float


class Permissions:
    """The stored answers of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def add(self, folder: str, thread_id: str | None, grants: Sequence[Grant]) -> None:
        """Save grants; existing ones stay unchanged."""
        columns = _COLUMNS.removeprefix("id, ")
        statement = f"INSERT INTO permissions ({columns}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608  constants only
        now = time.time()
        rows = [(folder, thread_id or "", one.tool, json.dumps(one.prefix), now) for one in grants]
        await self._database.write(lambda connection: connection.executemany(statement, rows).rowcount)

    async def in_force(self, folder: str, thread_id: str) -> Sequence[PermissionRow]:
        """Return the grants that apply to a thread in this folder."""
        selection = _selection("folder IN ('', ?) AND thread_id IN ('', ?)", folder, thread_id)
        return await self._database.read_cached("permissions", (folder, thread_id), selection)

    async def list(self, folder: str | None = None) -> Sequence[PermissionRow]:
        """Return all grants, or those that apply in one folder, oldest first."""
        if folder is None:
            return await self._database.read(_selection("true"))
        return await self._database.read(_selection("folder IN ('', ?)", folder))

    async def remove(self, id: int) -> bool:
        """Delete a grant. Return whether it existed."""
        statement = "DELETE FROM permissions WHERE id = ?"
        return bool(await self._database.write(lambda connection: connection.execute(statement, (id,)).rowcount))


def _selection(where: str, *values: str) -> Callable[[SqlConnection], list[PermissionRow]]:
    query = f"SELECT {_COLUMNS} FROM permissions WHERE {where} ORDER BY id"  # noqa: S608  constants only
    return lambda connection: [_row(*found) for found in connection.execute(query, values)]


def _row(id: int, folder: str, thread_id: str, tool: str, prefix: str, created: float) -> PermissionRow:
    return PermissionRow(id, folder, thread_id or None, Grant(tool, tuple(json.loads(prefix))), created)
