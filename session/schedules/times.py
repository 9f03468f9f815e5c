"""The times of schedules: cron expressions of five fields in a time zone."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice, takewhile
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import UsageError

MAX_LATE_SECONDS: Final = 600.0
"""A firing that is later than this is missed."""
MAX_MISSED: Final = 1_000
"""Missed firings that are counted at a time."""
FIELDS: Final = 5
_LOCAL_ZONE: Final = Path("/etc/localtime")


@dataclass(frozen=True)
class Firing:
    """The decision on a schedule that is due: whether it fires, how often it was missed, and its next time."""

    fires: bool
    missed: int
    next: float


def next_time(cron: str, timezone: str, after: float) -> float:
    """Return the first time after another, in seconds since the epoch. Raises UsageError."""
    for found in _times(cron, timezone, after):
        return found
    raise UsageError(f"{cron!r} never happens", "check the day and the month")


def firing(cron: str, timezone: str, due: float, now: float) -> Firing:
    """Return what to do at a time with a schedule that is due since another. Only its latest time can still fire."""
    later = takewhile(lambda one: one <= now, _times(cron, timezone, due))
    passed = [due, *islice(later, MAX_MISSED)]
    fires = now - passed[-1] <= MAX_LATE_SECONDS
    return Firing(fires, len(passed) - fires, next_time(cron, timezone, now))


def local_zone() -> str:
    """Return the name of this machine's time zone, or UTC if it has no name."""
    name = os.environ.get("TZ", "").removeprefix(":") or str(_LOCAL_ZONE.resolve()).partition("zoneinfo/")[2]
    try:
        _zone(name)
    except UsageError:
        return "UTC"
    return name


def _times(cron: str, timezone: str, after: float) -> Iterator[float]:
    from cronsim import CronSim, CronSimError

    if len(cron.split()) != FIELDS:
        raise UsageError(f"{cron!r} does not have five fields", "minute hour day month weekday, such as '0 7 * * 1'")
    start = datetime.fromtimestamp(after, _zone(timezone))
    try:
        times = CronSim(cron, start)
    except CronSimError as error:
        raise UsageError(f"{cron!r} is not a cron expression: {error}", "an example is '0 7 * * 1'") from error
    return (one.timestamp() for one in times)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"this machine does not know the time zone {name[:100]!r}", "such as Europe/Paris") from error
