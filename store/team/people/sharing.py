"""The table of access: which user owns which thread, and what others may do with it."""

from collections.abc import Sequence
from typing import Final, Literal

from ml_intern.configs.errors import UsageError
from ml_intern.store.connection import SqlConnection, ThreadDatabase

Level = Literal["read", "answer", "write", "own"]
LEVELS: Final[tuple[Level, ...]] = ("read", "answer", "write", "own")
"""The levels of access to a thread; each includes those before it."""
_TOP: Final = (
    "WITH RECURSIVE line(id, parent, forked_at, depth) AS ("
    "SELECT id, parent, forked_at, 0 FROM threads WHERE id = ? UNION ALL "
    "SELECT threads.id, threads.parent, threads.forked_at, depth + 1 FROM threads "
    "JOIN line ON threads.id = line.parent WHERE line.forked_at IS NULL AND depth < 100) "
    "SELECT id FROM line ORDER BY depth DESC LIMIT 1"
)
"""The thread whose sub-agent a thread is; else the thread itself."""
_SET: Final = (
    "INSERT INTO thread_access (thread_id, user_id, level) VALUES (?, ?, ?) "
    "ON CONFLICT (thread_id, user_id) DO UPDATE SET level = excluded.level"
)


class Sharing:
    """The access of users to threads."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def level(self, thread_id: str, user_id: str) -> Level | None:
        """Return what a user may do with a thread; None if nothing, or if there is no such thread."""
        query = "SELECT level FROM thread_access WHERE thread_id = ? AND user_id = ?"

        def read(connection: SqlConnection) -> Level | None:
            top = _top(connection, thread_id)
            found = connection.execute(query, (top, user_id)).fetchone() if top is not None else None
            return found[0] if found else None

        return await self._database.read(read)

    async def exists(self, thread_id: str) -> bool:
        """Return whether there is a thread with exactly this id."""
        return await self._database.read(lambda connection: _top(connection, thread_id) is not None)

    async def own(self, thread_id: str, user_id: str) -> None:
        """Make a user the owner of a thread. A former owner has no access any more. Raises UsageError."""

        def change(connection: SqlConnection) -> None:
            top = _required(connection, thread_id)
            connection.execute("DELETE FROM thread_access WHERE thread_id = ? AND level = 'own'", (top,))
            connection.execute(_SET, (top, user_id, "own"))

        await self._database.write(change)

    async def share(self, thread_id: str, user_id: str, level: Level | None) -> None:
        """Let a user do something with a thread; None ends it. Raises UsageError for the owner of the thread."""
        delete = "DELETE FROM thread_access WHERE thread_id = ? AND user_id = ?"

        def change(connection: SqlConnection) -> None:
            top = _required(connection, thread_id)
            if owner_of(connection, top) == user_id:
                raise UsageError("this user owns the thread", "give the thread to another user first: --can own")
            if level is None:
                connection.execute(delete, (top, user_id))
            else:
                connection.execute(_SET, (top, user_id, level))

        await self._database.write(change)

    async def owner(self, thread_id: str) -> str:
        """Return the id of the user who owns a thread; "" if there is none."""

        def read(connection: SqlConnection) -> str:
            top = _top(connection, thread_id)
            return owner_of(connection, top) if top is not None else ""

        return await self._database.read(read)

    async def people(self, thread_id: str) -> Sequence[tuple[str, Level]]:
        """Return the names of those who have access to a thread, and what they may do."""
        query = (
            "SELECT name, level FROM thread_access JOIN users ON users.id = user_id WHERE thread_id = ? ORDER BY name"
        )

        def read(connection: SqlConnection) -> Sequence[tuple[str, Level]]:
            return connection.execute(query, (_required(connection, thread_id),)).fetchall()

        return await self._database.read(read)

    async def threads(self, user_id: str) -> Sequence[str]:
        """Return the ids of the threads that a user has access to."""
        query = "SELECT thread_id FROM thread_access WHERE user_id = ?"
        return await self._database.read(lambda connection: [id for (id,) in connection.execute(query, (user_id,))])


def set_owner(connection: SqlConnection, thread_id: str, user_id: str) -> None:
    """Make a user the owner of a new thread, within a transaction."""
    connection.execute(_SET, (thread_id, user_id, "own"))


def copy_owner(connection: SqlConnection, thread_id: str, copy_id: str) -> None:
    """Make the owner of a thread the owner of its copy, within a transaction."""
    if owner := owner_of(connection, _top(connection, thread_id) or thread_id):
        connection.execute(_SET, (copy_id, owner, "own"))


def _top(connection: SqlConnection, thread_id: str) -> str | None:
    found = connection.execute(_TOP, (thread_id,)).fetchone()
    return str(found[0]) if found else None


def _required(connection: SqlConnection, thread_id: str) -> str:
    top = _top(connection, thread_id)
    if top is None:
        raise UsageError(f"there is no thread {thread_id[:100]!r}", "run `ml-intern threads list` to list all threads")
    return top


def owner_of(connection: SqlConnection, thread_id: str) -> str:
    """Return the id of the user who owns a thread that is not a sub-agent's, within a transaction; else ""."""
    query = "SELECT user_id FROM thread_access WHERE thread_id = ? AND level = 'own'"
    found = connection.execute(query, (thread_id,)).fetchone()
    return str(found[0]) if found else ""
