"""Retry policy: how long to wait after a temporary error, and when to give up."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ml_intern.configs.errors import ProviderUnavailable
from ml_intern.models.errors import Retryable
from ml_intern.models.transports.base import Timeouts
from ml_intern.text.formatting import plural


@dataclass
class RetryPolicy:
    """The retries of one call: exponential backoff with full jitter, or the provider's Retry-After."""

    waits: Timeouts
    jitter: Callable[[float, float], float] = field(default=random.uniform)
    used: int = 0

    def wait_after(self, error: Retryable, *, has_answered: bool = False) -> float:
        """Return the seconds to wait before the next attempt. Raises ProviderUnavailable when none is left.

        `has_answered`: the endpoint answered before in this process, so it exists and is likely to return.
        """
        short = error.retries is not None and not has_answered
        allowed = min(error.retries or 0, self.waits.retries) if short else self.waits.retries
        if self.used >= allowed:
            attempts = f" after {plural(self.used + 1, 'attempt')}" if self.used else ""
            raise ProviderUnavailable(f"{error.message}{attempts}", "try again later") from error
        self.used += 1
        if error.retry_after is not None:
            return min(error.retry_after, self.waits.max_retry_after_s)
        longest = min(self.waits.max_backoff_s, self.waits.first_backoff_s * 2 ** (self.used - 1))
        return self.jitter(0, longest)
