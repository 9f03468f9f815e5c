"""The backups of the database that an open session makes. They run beside the session, which never waits for them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import MLInternError
from ml_intern.graph.events import Event
from ml_intern.store.recovery.backups import BackupRule, Backups

if TYPE_CHECKING:
    from ml_intern.configs.settings import BackupSettings
    from ml_intern.store.sqlite.database import Database

LONG_TURN_SECONDS = 3_600.0
"""How often the database is checked and copied during a turn."""
ENDS = frozenset({"turn_complete", "interrupted", "approval_required"})


class DatabaseBackups:
    """Starts what is due after a turn, and every hour in which something happened."""

    def __init__(
        self,
        database: "Database | None",
        settings: "BackupSettings",
        warn: Callable[[str, str], object],
        report: Callable[[str], object],
    ) -> None:
        """`database` is None if it is on a server, which has backups of its own."""
        self._backups = Backups(database, BackupRule(settings.turns, settings.keep)) if database else None
        self._warn = warn
        self._report = report
        """Shows one line about a backup that fails while the session closes, when no one reads events any more."""
        self._closing = False
        self._active = False
        self._running: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(LONG_TURN_SECONDS, self._after_an_hour)

    def take(self, event: Event) -> None:
        """Note that something happened, and whether it was the end of a turn."""
        self._active = True
        if self._backups and event.type in ENDS:
            self._start(self._backups.after_turn())

    async def close(self) -> None:
        """Wait for what runs."""
        self._closing = True
        self._timer.cancel()
        if self._running is not None:
            await asyncio.wait([self._running])

    def _after_an_hour(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LONG_TURN_SECONDS, self._after_an_hour)
        if self._backups and self._active:
            self._active = False
            self._start(self._backups.during_turn())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._running = asyncio.create_task(self._after(self._running, work))

    async def _after(self, earlier: asyncio.Task[None] | None, work: Coroutine[Any, Any, None]) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        try:
            await work
        except MLInternError as error:
            if self._closing:
                self._report(str(error))
            else:
                self._warn(error.message, error.remedy)
