"""The events of a session, numbered by thread and queued for their reader."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ml_intern.graph.events import Event, emitter

if TYPE_CHECKING:
    from ml_intern.store.event_numbers import EventNumbers

BLOCK = 1_000
"""Numbers that are reserved at a time, so that no number is given to two events, even after a crash."""
OPENING = frozenset({"ready", "error", "shutdown"})
"""Events that a new thread may have before anything of it is stored."""


class EventQueue:
    """A queue that one interface reads, and listeners that are called with every event."""

    def __init__(self) -> None:
        self.thread_id = ""
        """The session's current thread. Every event contains it."""
        self.emit = emitter(self.publish)
        self._numbers: EventNumbers | None = None
        self._sequence = 0
        self._reserved = 0
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from now on. It must return at once."""
        self._listeners.append(listener)

    async def open(self, numbers: "EventNumbers", thread_id: str) -> None:
        """Number the events of another thread from now on. The caller has locked it."""
        await self.return_numbers()
        last = await numbers.last(thread_id)
        if last:
            numbers.reserve(thread_id, last + BLOCK)
            await numbers.save()
        self._numbers, self.thread_id = numbers, thread_id
        self._sequence, self._reserved = last, last + BLOCK if last else 0

    async def return_numbers(self) -> None:
        """Release the reserved numbers that were not used."""
        if self._numbers is not None and self._reserved:
            used = self._sequence + 1  # one for the result of a headless run
            self._numbers.give_back(self.thread_id, used, self._reserved)
            await self._numbers.save()

    def publish(self, event: Mapping[str, Any]) -> None:
        """Number an event of the graph, queue it and call the listeners."""
        self._sequence += 1
        numbered = Event(event["type"], self.thread_id, self._sequence, time.time(), event["data"])
        self._reserve(numbered.type)
        self._queue.put_nowait(numbered)
        for listener in self._listeners:
            listener(numbered)

    def _reserve(self, type: str) -> None:
        """Reserve more numbers before the last half of a block is used."""
        is_new = not self._reserved and type in OPENING
        if self._numbers is not None and not is_new and self._sequence > self._reserved - BLOCK // 2:
            self._reserved = self._sequence + BLOCK
            self._numbers.reserve(self.thread_id, self._reserved)

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
