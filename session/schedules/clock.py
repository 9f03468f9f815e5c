"""ScheduleClock: fires the schedules of a store when they are due."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ml_intern.configs.errors import MLInternError
from ml_intern.session.schedules.times import firing
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from ml_intern.store.store import Store
    from ml_intern.store.team.schedules import Schedule

LOOK_SECONDS: Final = 1.0
Start = Callable[["Schedule", str], None]
"""Runs a firing, given the schedule and its new thread."""


class ScheduleClock:
    """Looks for due schedules. Several processes may do so: each firing is claimed by one of them."""

    def __init__(self, store: "Store", report: Callable[[str], None], start: Start = lambda *_: None) -> None:
        self._store = store
        self._report = report
        self._start = start
        self._problems: dict[str, str] = {}
        """The last reported problem of each schedule; "" is the database."""

    async def run(self) -> None:
        """Fire what is due, until this is cancelled."""
        while True:
            try:
                await self.fire_due()
                self._problems.pop("", None)
            except MLInternError as error:
                self._report_once("", str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def fire_due(self) -> None:
        """Fire what is due now. Raises the store's errors."""
        for schedule in await self._store.schedules.due(time.time()):
            try:
                found = firing(schedule.cron, schedule.timezone, schedule.due, time.time())
            except MLInternError as error:
                self._report_once(schedule.id, f"schedule {schedule.id}: {error}")
                continue
            thread_id = ""
            if found.fires:
                thread_id = await self._store.schedules.fire(schedule, found.next, found.missed)
                claimed = bool(thread_id)
            else:
                claimed = await self._store.schedules.skip(schedule, found.next, found.missed)
            if claimed and found.missed:
                self._report(f"schedule {schedule.id}: missed {plural(found.missed, 'firing')}: nothing ran schedules")
            if thread_id:
                self._report(f"schedule {schedule.id}: started thread {thread_id}")
                self._start(schedule, thread_id)

    def _report_once(self, key: str, message: str) -> None:
        if self._problems.get(key) != message:
            self._problems[key] = message
            self._report(message)
