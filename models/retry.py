"""Retry policy: how long to wait after a temporary error, and when to give up."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, inf
from typing import NoReturn

from ml_intern.configs.errors import ProviderUnavailable
from ml_intern.models.errors import ConnectionDropped, Retryable, Stalled, StreamBroken
from ml_intern.models.transports.base import Timeouts
from ml_intern.text.formatting import duration, plural

LATER = "try again later"


@dataclass
class RetryPolicy:
    """The retries of one call: exponential backoff with full jitter, or the provider's Retry-After.

    An outage is waited out for `waits.patience_s` seconds. Replies that broke off or stalled may have cost money, and
    an address that never answered may be wrong: these errors are limited by their number.
    """

    waits: Timeouts
    jitter: Callable[[float, float], float] = field(default=random.uniform)
    clock: Callable[[], float] = field(default=time.monotonic)
    announcement: str = ""
    """How long the outage is waited out, to be shown with its first error; "" afterwards."""
    _used: int = 0
    """All retries."""
    _counted: int = 0
    """The retries after errors that are limited by their number."""
    _began: float | None = None
    """When the outage began."""

    def wait_after(self, error: Retryable, *, has_answered: bool = False) -> float:
        """Return the seconds to wait before the next attempt. Raises ProviderUnavailable when none is left.

        `has_answered`: the endpoint answered before in this process, so it exists and is likely to return.
        """
        most = self._allowed(error, has_answered=has_answered)
        left = self._time_left(error) if most is None else self._count(error, most)
        if error.retry_after is not None and error.retry_after > left:
            self._refuse_wait(error, error.retry_after)
        self._used += 1
        if error.retry_after is not None:
            return error.retry_after
        longest = min(self.waits.max_backoff_s, self.waits.first_backoff_s * 2 ** min(self._used - 1, 30))
        return min(left, self.jitter(0, longest))

    def _allowed(self, error: Retryable, *, has_answered: bool) -> int | None:
        """Return the number of retries after an error, or None if time limits them."""
        if error.retries is not None and not has_answered:
            return min(error.retries, self.waits.retries)
        is_reply = isinstance(error, Stalled | StreamBroken) and not isinstance(error, ConnectionDropped)
        return self.waits.retries if is_reply else None

    def _count(self, error: Retryable, most: int) -> float:
        """Count an error that is limited by its number. It ends an outage, and its waits have no limit."""
        self._began, self.announcement = None, ""
        if self._counted >= most:
            self._give_up(error, "", LATER)
        self._counted += 1
        return inf

    def _time_left(self, error: Retryable) -> float:
        """Return the rest of the time for an outage, which is announced when it begins."""
        now = self.clock()
        is_new, self._began = self._began is None, now if self._began is None else self._began
        left = self.waits.patience_s - (now - self._began)
        if left <= 0:
            self._give_up(error, f" in {duration(now - self._began)}", f"{LATER}, or wait longer: --patience 8h")
        self.announcement = f" (waiting up to {duration(left)} for it)" if is_new else ""
        return left

    def _give_up(self, error: Retryable, time: str, remedy: str) -> NoReturn:
        attempts = f" after {plural(self._used + 1, 'attempt')}{time}" if self._used else ""
        raise ProviderUnavailable(f"{error.message}{attempts}", remedy) from error

    def _refuse_wait(self, error: Retryable, seconds: float) -> NoReturn:
        problem = f"{error.message}; it asks to wait {duration(seconds)}"
        remedy = f"{LATER}, or wait that long: --patience {ceil(seconds / 60)}m"
        raise ProviderUnavailable(problem, remedy) from error
