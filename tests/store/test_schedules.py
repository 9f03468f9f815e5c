"""Schedules in a store: each firing starts one thread, whoever looks, and late ones are counted as missed."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.session.schedules.clock import ScheduleClock
from ml_intern.session.schedules.times import Firing, firing, next_time
from ml_intern.store.store import Store
from ml_intern.store.team.schedules import Schedule

HOUR = 3_600.0
MONDAY_7 = 1_767_596_400.0
"""Monday, 5 January 2026, 7:00 UTC."""
EACH_MINUTE = Schedule("one", "* * * * *", "UTC", "go", "/", {"max_budget_usd": 2.0}, 0.0)


async def test_of_many_clocks_one_starts_the_thread(home: Path, url: str, store: Store) -> None:
    async with await Store.open(home, url=url) as other:
        due = time.time() - 1
        await store.schedules.add(replace(EACH_MINUTE, due=due))
        (schedule,) = await other.schedules.due(time.time())
        fired = await asyncio.gather(*(one.schedules.fire(schedule, due + 60, 0) for one in (store, other) * 4))
        (thread,) = await store.threads.list()
        assert sorted(fired) == [""] * 7 + [thread.id]
        (now,) = await other.schedules.list()
        assert (now.due, now.thread_id, now.options) == (due + 60, thread.id, {"max_budget_usd": 2.0})
        posted = await store.operations.open_of(thread.id)
        assert [one.body["text"] for one in posted] == (["go"] if store.is_shared else [])


async def test_what_is_too_late_is_counted_and_reported(store: Store) -> None:
    yearly = next_time("0 0 1 1 *", "UTC", time.time() - 2 * 366 * 24 * HOUR)
    await store.schedules.add(replace(EACH_MINUTE, cron="0 0 1 1 *", due=yearly))
    reports: list[str] = []
    await ScheduleClock(store, reports.append).fire_due()
    (schedule,) = await store.schedules.list()
    assert schedule.missed >= 1
    assert schedule.due > time.time()
    assert "missed" in reports[0]
    assert await store.schedules.due(time.time()) == []


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (0.0, Firing(fires=True, missed=0, next=MONDAY_7 + 168 * HOUR)),
        (600.0, Firing(fires=True, missed=0, next=MONDAY_7 + 168 * HOUR)),
        (601.0, Firing(fires=False, missed=1, next=MONDAY_7 + 168 * HOUR)),
        (336 * HOUR, Firing(fires=True, missed=2, next=MONDAY_7 + 504 * HOUR)),
    ],
)
def test_only_the_latest_time_fires_and_only_soon(late: float, expected: Firing) -> None:
    assert firing("0 7 * * 1", "UTC", MONDAY_7, MONDAY_7 + late) == expected


def test_times_follow_the_clocks_of_the_zone() -> None:
    before = 1_774_652_400.0  # 28 March 2026, 0:00 in Paris, the day before the clocks change
    first = next_time("0 7 * * *", "Europe/Paris", before)
    assert next_time("0 7 * * *", "Europe/Paris", first) - first == 23 * HOUR


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "tomorrow at seven or so"])
def test_a_wrong_expression_is_refused(cron: str) -> None:
    with pytest.raises(UsageError):
        next_time(cron, "UTC", 0.0)


def test_an_unknown_zone_is_refused() -> None:
    for name in ("Mars/Phobos", "../etc/passwd", ""):
        with pytest.raises(UsageError, match="time zone"):
            next_time("* * * * *", name, 0.0)
