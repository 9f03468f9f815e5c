"""The table of evidence: what the calls of a thread ran, read and wrote, its locked files, and the verdicts on answers.

Undo does not change it.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ml_intern.store.connection import SqlConnection, ThreadDatabase

Kind = Literal["call", "lock", "verdict"]
_INSERT = "INSERT INTO evidence (thread_id, kind, ref, body, created) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class EvidenceRow:
    """One piece of evidence. `ref` identifies it among those of its kind in the thread."""

    kind: Kind
    ref: str
    body: Mapping[str, Any]
    created: float


class EvidenceTable:
    """The evidence of all threads."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    def put_later(self, thread_id: str, kind: Kind, ref: str, body: Mapping[str, Any]) -> None:
        """Insert or replace one piece of evidence in the next transaction."""
        self._database.write_later(_insertion(thread_id, kind, ref, body))

    async def put(self, thread_id: str, kind: Kind, ref: str, body: Mapping[str, Any]) -> None:
        """Insert or replace one piece of evidence."""
        await self._database.write(_insertion(thread_id, kind, ref, body))

    async def add_missing(self, thread_id: str, kind: Kind, bodies: Mapping[str, Mapping[str, Any]]) -> None:
        """Insert pieces of evidence by their ref. Those that exist stay as they are."""
        now = time.time()
        rows = [(thread_id, kind, ref, json.dumps(body, ensure_ascii=False), now) for ref, body in bodies.items()]
        statement = f"{_INSERT} ON CONFLICT DO NOTHING"
        if rows:
            await self._database.write(lambda connection: connection.executemany(statement, rows))

    async def list(self, thread_id: str, kind: Kind) -> Sequence[EvidenceRow]:
        """Return the evidence of one kind in a thread, in the order in which it was written."""
        return await self._database.read(lambda connection: _select(connection, thread_id, kind))

    async def unlock(self, thread_id: str, path: str) -> None:
        """Let a locked file change, as the user allowed. Its changes are reported from then on."""
        for row in await self.list(thread_id, "lock"):
            if row.ref == path and row.body["kind"] == "lock":
                await self.put(thread_id, "lock", path, {**row.body, "kind": "watch", "unlocked": True})

    async def locked(self, thread_id: str) -> tuple[str, ...]:
        """Return the paths of the files that a thread must not change."""

        def read(connection: SqlConnection) -> tuple[str, ...]:
            return tuple(row.ref for row in _select(connection, thread_id, "lock") if row.body["kind"] == "lock")

        return await self._database.read_cached("evidence", thread_id, read)


def _select(connection: SqlConnection, thread_id: str, kind: Kind) -> list[EvidenceRow]:
    query = "SELECT kind, ref, body, created FROM evidence WHERE thread_id = ? AND kind = ? ORDER BY rowid"
    found = connection.execute(query, (thread_id, kind))
    return [EvidenceRow(kind, ref, json.loads(body), created) for kind, ref, body, created in found]


def _insertion(thread_id: str, kind: Kind, ref: str, body: Mapping[str, Any]) -> Callable[[SqlConnection], None]:
    row = (thread_id, kind, ref, json.dumps(body, ensure_ascii=False), time.time())

    def replace(connection: SqlConnection) -> None:
        connection.execute("DELETE FROM evidence WHERE thread_id = ? AND kind = ? AND ref = ?", row[:3])
        connection.execute(_INSERT, row)

    return replace
