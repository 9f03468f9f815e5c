"""The interface between the gateway and its transports."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from ml_intern.graph.limits import MODEL_IDLE_S, PATIENCE_S
from ml_intern.models.request import ModelRequest, ReplyPart
from ml_intern.models.routing import Route


@dataclass(frozen=True)
class Timeouts:
    """Timeouts in seconds, and the number of retries of replies that broke off or stalled."""

    connect_s: float = 15
    idle_s: float = MODEL_IDLE_S
    """Time without content after which a stream counts as stalled, also before the first token."""
    whole_s: float = 900
    """The same for a reply that is not streamed."""
    retries: int = 10
    first_backoff_s: float = 1
    max_backoff_s: float = 60
    patience_s: float = PATIENCE_S
    """Time for which an outage is waited out: 429, 5xx, refused connections, names that do not resolve."""


@dataclass(frozen=True)
class Trimming:
    """The parts left out of a request because the provider rejected them before."""

    options: bool = False
    """stream_options and reasoning_effort."""
    reasoning: bool = False
    """The model's own reasoning text."""
    images: bool = False
    """Images; a placeholder replaces them."""


WHOLE = Trimming()


class Transport(Protocol):
    """Sends one request and yields the fragments of its reply. Raises the errors of models.errors."""

    def stream(self, route: Route, request: ModelRequest, trimming: Trimming) -> AsyncGenerator[ReplyPart]:
        """Yield the fragments of one reply."""
        ...

    async def close(self) -> None:
        """Close connections and stop background work."""
        ...
