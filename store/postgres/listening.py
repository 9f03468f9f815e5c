"""Listening for what other processes announce in the database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from ml_intern.store.postgres.database import connection_text

OPERATIONS: Final = "ml_intern_operations"
EVENTS: Final = "ml_intern_events"
PEOPLE: Final = "ml_intern_people"
_SETTINGS: Final = {"search_path": "ml_intern"}
_PAUSE_SECONDS: Final = 1.0
_CHECK_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Announcement:
    """A text that was announced in a channel; for OPERATIONS and EVENTS it is the id of a thread.

    Without a channel: the connection is new, and earlier announcements may have been missed.
    """

    channel: str = ""
    text: str = ""


async def announcements(url: str, channels: Sequence[str]) -> AsyncIterator[Announcement]:
    """Yield what is announced from now on. A lost connection is opened again, which is announced as well."""
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(connection_text(url, _SETTINGS), autocommit=True)
            async with connection:
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                yield Announcement()
                async for one in _received(connection):
                    yield one
        except psycopg.OperationalError:
            await asyncio.sleep(_PAUSE_SECONDS)


async def _received(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> AsyncIterator[Announcement]:
    """Yield the announcements of a connection until it is lost. Raises psycopg.OperationalError."""
    while True:
        async for one in connection.notifies(timeout=_CHECK_SECONDS):
            yield Announcement(one.channel, one.payload)
        await connection.execute("SELECT 1")  # a connection that was cut says nothing
