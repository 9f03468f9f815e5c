"""Attach to the process that has a thread open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ThreadLocked
from ml_intern.configs.paths import data_home
from ml_intern.session.wire import sockets
from ml_intern.session.wire.link import ConnectionLost
from ml_intern.store.lock import is_locked
from ml_intern.store.store import LOCKS

if TYPE_CHECKING:
    from ml_intern.session.protocol import Threads
    from ml_intern.session.wire.client import RemoteSession

ANSWER_SECONDS = 20.0
"""The time that a busy process has to answer."""


def is_served(home: Path, thread_id: str) -> bool:
    """Return whether another process has the thread open and serves it."""
    return (home / sockets.SOCKETS / sockets.socket_name(thread_id)).exists() and is_locked(home / LOCKS, thread_id)


@asynccontextmanager
async def attach(threads: "Threads", thread_id: str, *, name: str = "terminal") -> AsyncIterator["RemoteSession"]:
    """Connect to the session of the process that has the thread open. `name` is shown to other clients.

    Raises ThreadLocked if it does not answer.
    """
    from ml_intern.session.wire.client import RemoteSession

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(sock=sockets.connect(data_home(), thread_id))

    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            session = await RemoteSession.open(connect, threads, name=name)
    except (OSError, ConnectionLost) as error:  # TimeoutError is an OSError
        raise ThreadLocked(
            f"thread {thread_id} is in use by another process, which does not answer",
            "wait until it ends, or use --fork to work on a copy",
        ) from error
    try:
        yield session
    finally:
        await session.close()
