"""The log of who did what on a team's server."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from ml_intern.store.connection import ThreadDatabase

MAX_DETAIL = 500


@dataclass(frozen=True)
class AuditEntry:
    """Something that somebody did, or was refused. `created` is in seconds since the epoch."""

    created: float
    who: str
    action: str
    thread_id: str
    detail: str


class Audit:
    """The log of a database. Entries are only added, and stay when users and threads are removed."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def add(self, who: str, action: str, thread_id: str = "", detail: str = "") -> None:
        """Add an entry. It must not contain secrets."""
        statement = "INSERT INTO audit (id, created, who, action, thread_id, detail) VALUES (?, ?, ?, ?, ?, ?)"
        values = (uuid4().hex, time.time(), who, action, thread_id, detail[:MAX_DETAIL])
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    async def list(self, limit: int, who: str = "", thread_id: str = "") -> Sequence[AuditEntry]:
        """Return the last entries, latest first, of a user or a thread if one is given."""
        query = (
            "SELECT created, who, action, thread_id, detail FROM audit "
            "WHERE (? = '' OR who = ?) AND (? = '' OR thread_id = ?) ORDER BY created DESC LIMIT ?"
        )
        values = (who, who, thread_id, thread_id, limit)
        return await self._database.read(
            lambda connection: [AuditEntry(*found) for found in connection.execute(query, values)]
        )
