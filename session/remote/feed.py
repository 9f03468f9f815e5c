"""EventFeed: the events of one thread of a server, in order and each once, also when the connection is lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx

from ml_intern.configs.errors import MLInternError, TemporaryError
from ml_intern.graph.events import Event
from ml_intern.session.remote.client import DELAYS, ServerClient
from ml_intern.session.wire.codec import decode_event

LIVED_SECONDS = 30.0
"""After a connection that lasted this long, attempts are counted anew."""


@dataclass(frozen=True)
class Missed:
    """Some events are not available any more. The conversation is complete in the thread."""

    seq: int


class EventFeed:
    """Reads the events of a thread after its current state."""

    def __init__(self, client: ServerClient, thread_id: str) -> None:
        self.seq = 0
        self._client = client
        self._path = f"/api/threads/{thread_id}"

    async def state(self) -> tuple[Sequence[Event], Event | None]:
        """Return the events that describe the current state, and how the last turn ended. Raises MLInternError."""
        found = await self._client.get(f"{self._path}/state")
        self.seq = int(found["seq"])
        ending = found["ending"]
        return [decode_event(one) for one in found["events"]], decode_event(ending) if ending else None

    async def events(self) -> AsyncIterator[Event | Missed]:
        """Yield all later events. Raises MLInternError when the server stays away, or refuses."""
        failed = 0
        while True:
            began = time.monotonic()
            try:
                async for kind, value in self._client.events(f"{self._path}/events", self.seq):
                    self.seq = int(value["seq"])
                    yield Missed(self.seq) if kind == "reset" else decode_event(value)
            except (httpx.TransportError, TemporaryError) as error:
                failed = 1 if time.monotonic() - began > LIVED_SECONDS else failed + 1
                if failed > len(DELAYS):
                    raise self._lost() from error
            await asyncio.sleep(DELAYS[max(failed, 1) - 1])

    def _lost(self) -> MLInternError:
        name = self._client.server.name
        return TemporaryError(f"the server {name} does not answer", "the thread continues there; open it again later")
