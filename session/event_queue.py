"""The events of a session, numbered and queued for their reader."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from ml_intern.graph.events import Event, emitter


class EventQueue:
    """A queue that one interface reads, and listeners that are called with every event."""

    def __init__(self) -> None:
        self.thread_id = ""
        """The session's current thread. Every event contains it."""
        self.emit = emitter(self.publish)
        self._sequence = 0
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from now on. It must return at once."""
        self._listeners.append(listener)

    def publish(self, event: Mapping[str, Any]) -> None:
        """Number an event of the graph, queue it and call the listeners."""
        self._sequence += 1
        numbered = Event(event["type"], self.thread_id, self._sequence, time.time(), event["data"])
        self._queue.put_nowait(numbered)
        for listener in self._listeners:
            listener(numbered)

    def warn(self, message: str, remedy: str) -> None:
        """Report a problem that does not stop the turn."""
        self.emit("error", message=message, remedy=remedy, exit_code=None, retry_in_s=None)

    async def read(self) -> AsyncIterator[Event]:
        """Yield the events as they happen, up to the last one."""
        while (event := await self._queue.get()) is not None:
            yield event
            self._queue.task_done()

    async def drained(self) -> None:
        """Wait until every event was read."""
        await self._queue.join()

    def close(self) -> None:
        """End `read` after the events so far."""
        self._queue.put_nowait(None)
