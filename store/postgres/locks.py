"""Locks of threads on PostgreSQL: advisory locks of the connection that writes for the thread.

The server releases it when the connection ends or says nothing for SILENT_SECONDS, and ends the connection with it. So
a process that can still write has the lock, and no other process can have taken over the thread.
"""

import hashlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import ThreadLocked
from ml_intern.store.connection import SqlConnection
from ml_intern.store.lock import lock_thread
from ml_intern.store.postgres.database import PostgresDatabase

TABLES: Final = 1
"""The connection that writes for a thread."""
CLAIM: Final = 3
"""The worker that starts the process of a thread."""
_HOLDER: Final = (
    "SELECT activity.application_name FROM pg_locks AS lock JOIN pg_stat_activity AS activity USING (pid) "
    "WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1 "
    "AND ((lock.classid::bigint << 32) | lock.objid::bigint) = ?"
)


def lock_key(thread_id: str, part: int) -> int:
    """Return the number of an advisory lock of a thread: 63 bits."""
    digest = hashlib.sha256(f"{part}:{thread_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def holder_name() -> str:
    """Return this process as others see it."""
    return f"ml-intern {os.getpid()} on {socket.gethostname()}"[:63]


class AdvisoryLocks:
    """The locks of a store's threads, against processes on any machine.

    The lock file in the folder only tells processes of this machine where the thread's socket is.
    """

    def __init__(self, database: PostgresDatabase, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._wanted = set[str]()

    @asynccontextmanager
    async def hold(self, thread_id: str) -> AsyncIterator[None]:
        """Lock a thread until the block ends. Raises ThreadLocked."""
        async with AsyncExitStack() as stack:
            if thread_id in self._wanted:  # the server lets one connection take a lock twice
                raise thread_locked(thread_id, holder_name())
            self._wanted.add(thread_id)
            stack.callback(self._wanted.discard, thread_id)
            await self._database.pin(partial(_take, thread_id))
            stack.push_async_callback(self._database.unpin, partial(_release, thread_id))
            with suppress(ThreadLocked):  # by a process that was stopped and has lost its lock in the database
                await stack.enter_async_context(lock_thread(self._folder, thread_id))
            yield

    def check(self) -> None:
        """Check that the connection that writes still has its locks. Raises TemporaryError."""
        if self._database.was_lost:
            raise self._database.lost_error()

    async def claim(self, thread_id: str) -> bool:
        """Claim a thread for a process that this one starts. Return False if another worker has claimed it."""
        key = lock_key(thread_id, CLAIM)
        taken = "SELECT pg_try_advisory_lock(?)"
        return bool(await self._database.read(lambda connection: connection.execute(taken, (key,)).fetchone()[0]))

    async def disclaim(self, thread_id: str) -> None:
        """End a claim. A lost connection has ended it."""
        key = lock_key(thread_id, CLAIM)
        await self._database.read(lambda connection: connection.execute("SELECT pg_advisory_unlock(?)", (key,)))

    def is_locked(self, connection: SqlConnection, thread_id: str) -> bool:
        """Return whether a process has locked the thread."""
        return connection.execute(_HOLDER, (lock_key(thread_id, TABLES),)).fetchone() is not None


def _take(thread_id: str, connection: SqlConnection) -> None:
    key = lock_key(thread_id, TABLES)
    if not connection.execute("SELECT pg_try_advisory_lock(?)", (key,)).fetchone()[0]:
        found = connection.execute(_HOLDER, (key,)).fetchone()
        raise thread_locked(thread_id, found[0] if found else "")
    connection.execute("SELECT set_config('application_name', ?, false)", (holder_name(),))


def thread_locked(thread_id: str, holder: str) -> ThreadLocked:
    """Return the error for a thread that another process has locked."""
    return ThreadLocked(
        f"thread {thread_id} is in use by {holder or 'another process'}",
        "wait until it ends, or use --fork to work on a copy",
    )


def _release(thread_id: str, connection: SqlConnection) -> None:
    connection.execute("SELECT pg_advisory_unlock(?)", (lock_key(thread_id, TABLES),))
