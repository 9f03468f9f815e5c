"""The latest events of a session, encoded once for all watchers."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml_intern.graph.events import Event
from ml_intern.session.wire.codec import encode_event, line

TRANSIENT = ("assistant_chunk", "tool_log")
"""Events that a later event contains as a whole."""
MAX_EVENTS = 2_000
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class _Entry:
    position: int
    seq: int
    text: bytes
    transient: bool


@dataclass(frozen=True)
class EventPage:
    """Events as lines, the position after them, and the number before them if events are missing there."""

    lines: Sequence[bytes]
    position: int
    reset: int | None


class Tail:
    """Keeps the latest events within limits. Reading never slows down the session.

    Event numbers belong to a thread and a session may continue with another one, so a watcher's place is a position,
    which counts all events.
    """

    def __init__(self, thread_id: str, seq: int) -> None:
        self.thread_id = thread_id
        """The current thread."""
        self.seq = seq
        """The number of the latest event of the thread."""
        self.position = 0
        self.closed = False
        self._start = 0, seq
        """The position and the number before the thread's first event here."""
        self._removed = 0, seq
        """The position and the number of the latest event that is not available any more."""
        self._entries: list[_Entry] = []
        self._bytes = 0
        self._waiting: set[asyncio.Event] = set()

    def add(self, event: Event, **more: Any) -> None:
        """Keep an event and wake the watchers. Transient events that do not fit any more are dropped first.

        `more` is added to its line.
        """
        if event.thread_id != self.thread_id:
            self.thread_id, self._start = event.thread_id, (self.position, event.seq - 1)
        self.put(event.seq, line({"event": encode_event(event), **more}), transient=event.type in TRANSIENT)

    def put(self, seq: int, text: bytes, *, transient: bool = False) -> None:
        """Keep the encoded form of an event of the current thread and wake the watchers."""
        self.seq, self.position = seq, self.position + 1
        self._entries.append(_Entry(self.position, seq, text, transient))
        self._bytes += len(text)
        if len(self._entries) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._shorten()
        self._wake()

    def close(self) -> None:
        """Wake the watchers for the last time."""
        self.closed = True
        self._wake()

    def position_of(self, seq: int | None) -> int:
        """Return the position after the current thread's event `seq`, after the latest for None, -1 if not known."""
        if seq is None:
            return self.position
        position, first = self._first()
        if not first <= seq <= self.seq:
            return -1
        own = [entry for entry in self._entries if entry.position > position]
        before = bisect_right(own, seq, key=lambda entry: entry.seq)
        return own[before - 1].position if before else position

    def after(self, position: int) -> EventPage:
        """Return the events after `position`. If some are missing, return the available ones of the current thread."""
        start, reset = position, None
        if position < self._removed[0]:
            start, reset = self._first()
        found = self._entries[bisect_right(self._entries, start, key=lambda entry: entry.position) :]
        return EventPage([entry.text for entry in found], self.position, reset)

    async def changed(self, position: int) -> None:
        """Wait until there are events after `position` or no more come."""
        while self.position <= position and not self.closed:
            event = asyncio.Event()
            self._waiting.add(event)
            try:
                await event.wait()
            finally:
                self._waiting.discard(event)

    def _first(self) -> tuple[int, int]:
        """Return the position and the number before the first available event of the current thread."""
        return max(self._start, self._removed, key=lambda place: place[0])

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    def _shorten(self) -> None:
        """Remove the transient events, then the oldest others, down to half of the limits."""
        self._entries = [entry for entry in self._entries if not entry.transient]
        self._bytes = sum(len(entry.text) for entry in self._entries)
        removed = 0
        while self._entries[removed:] and (
            len(self._entries) - removed > MAX_EVENTS // 2 or self._bytes > MAX_BYTES // 2
        ):
            self._bytes -= len(self._entries[removed].text)
            self._removed = self._entries[removed].position, self._entries[removed].seq
            removed += 1
        del self._entries[:removed]
