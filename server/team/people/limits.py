"""PostLimits: how many changes each user may send within a minute."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

SECONDS: Final = 60.0


class PostLimits:
    """Counts the changes that users send to this server."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._sent: dict[str, deque[float]] = {}

    def wait(self, user: str) -> int:
        """Count a change of a user. Return 0, or the seconds after which it may be sent if there were too many."""
        now, sent = self._clock(), self._sent.setdefault(user, deque())
        while sent and sent[0] <= now - SECONDS:
            sent.popleft()
        if len(sent) >= self._per_minute:
            return int(sent[0] + SECONDS - now) + 1
        sent.append(now)
        return 0
