"""How long to wait after a passing fault, and when to stop trying."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ml_intern.configs.errors import ProviderUnavailable
from ml_intern.models.errors import Retryable
from ml_intern.models.transports.base import Waits


@dataclass
class Patience:
    """The retries of one call: backoff doubling with full jitter, or what the provider asks for."""

    waits: Waits
    jitter: Callable[[float, float], float] = field(default=random.uniform)
    used: int = 0

    def wait_after(self, fault: Retryable, *, has_answered: bool = False) -> float:
        """Seconds to wait before the next try. Raises ProviderUnavailable when there is none.

        `has_answered`: the endpoint did before in this process, so it is one and will be back.
        """
        short = fault.retries is not None and not has_answered
        allowed = min(fault.retries or 0, self.waits.retries) if short else self.waits.retries
        if self.used >= allowed:
            tries = f" after {self.used + 1} tries" if self.used else ""
            raise ProviderUnavailable(f"{fault.message}{tries}", "the thread is saved; try again later") from fault
        self.used += 1
        if fault.retry_after is not None:
            return min(fault.retry_after, self.waits.longest_retry_after_s)
        longest = min(self.waits.longest_backoff_s, self.waits.first_backoff_s * 2 ** (self.used - 1))
        return self.jitter(0, longest)
