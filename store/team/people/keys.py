"""The table of users' own keys. The store has only what was sealed, and cannot open it."""

import time
from collections.abc import Mapping, Sequence

from ml_intern.store.connection import ThreadDatabase


class UserKeys:
    """The sealed keys of a database's users, by the names of their variables."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def set(self, user_id: str, name: str, sealed: str) -> None:
        """Store a key of a user instead of an earlier one."""
        statement = (
            "INSERT INTO user_keys (user_id, name, sealed, created) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (user_id, name) DO UPDATE SET sealed = excluded.sealed, created = excluded.created"
        )
        values = (user_id, name, sealed, time.time())
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    async def remove(self, user_id: str, name: str) -> bool:
        """Delete a key of a user. Return whether it existed."""
        statement = "DELETE FROM user_keys WHERE user_id = ? AND name = ?"
        return bool(
            await self._database.write(lambda connection: connection.execute(statement, (user_id, name)).rowcount)
        )

    async def names(self, user_id: str) -> Sequence[str]:
        """Return the names of a user's keys."""
        return sorted(await self.sealed(user_id))

    async def sealed(self, user_id: str) -> Mapping[str, str]:
        """Return the sealed keys of a user by name."""
        query = "SELECT name, sealed FROM user_keys WHERE user_id = ?"
        return await self._database.read(lambda connection: dict(connection.execute(query, (user_id,)).fetchall()))
