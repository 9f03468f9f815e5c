"""What the gateway and its transports agree on."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from ml_intern.graph.limits import MODEL_IDLE_S
from ml_intern.models.request import ModelRequest, ReplyPart
from ml_intern.models.routing import Route


@dataclass(frozen=True)
class Waits:
    """How long a call waits and how often it is tried again. Seconds."""

    connect_s: float = 15
    idle_s: float = MODEL_IDLE_S
    """Silence in a stream, before the first token too, after which it counts as stalled."""
    whole_s: float = 900
    """The same for a reply that is not streamed."""
    retries: int = 10
    first_backoff_s: float = 1
    longest_backoff_s: float = 60
    longest_retry_after_s: float = 600


@dataclass(frozen=True)
class Trimming:
    """What is left out of a request because the provider rejected it before."""

    options: bool = False
    """stream_options and reasoning_effort."""
    reasoning: bool = False
    """The model's own reasoning text."""
    images: bool = False
    """Images; a word stands in their place."""


WHOLE = Trimming()


class Transport(Protocol):
    """Sends one request and yields the fragments of its reply; raises the faults of models.errors."""

    def stream(self, route: Route, request: ModelRequest, trimming: Trimming) -> AsyncGenerator[ReplyPart]:
        """The fragments of one reply."""
        ...

    async def close(self) -> None:
        """Leave nothing running."""
        ...
