"""Server-sent events from the tail of a thread, for any number of watchers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from starlette.responses import StreamingResponse

from ml_intern.server.web.numbers import whole_number
from ml_intern.server.web.watching.watched import WatchedThread
from ml_intern.session.wire.tail import Tail

BEAT_SECONDS = 15.0
"""The time after which a comment is sent, so that a lost client is noticed."""
Missed = Callable[[int, Sequence[bytes]], bytes]
"""Returns what a watcher gets that missed events up to a number, and the events that are available."""


def page_frames(thread: WatchedThread, place: str) -> StreamingResponse:
    """Return the frames of a page after a place (`WatchedThread.place`). A page that missed some gets all of it."""
    epoch, _, number = place.partition("-")
    seq = whole_number(number) if epoch == thread.epoch else None

    def missed(_: int, _lines: Sequence[bytes]) -> bytes:
        thread.flush()
        return thread.whole_frame()

    return _stream(thread, thread.frames, thread.frames.position_of(seq) if seq is not None else -1, missed)


def thread_events(thread: WatchedThread, after: int | None) -> StreamingResponse:
    """Return the events of the wire after a number, as JSON. `reset`: events up to its number are not available."""

    def missed(seq: int, lines: Sequence[bytes]) -> bytes:
        return b"event: reset\nid: %d\ndata: %d\n\n%b" % (seq, seq, b"".join(lines))

    return _stream(thread, thread.events, thread.events.position_of(after), missed)


def _stream(thread: WatchedThread, tail: Tail, position: int, missed: Missed) -> StreamingResponse:
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(thread, tail, position, missed), media_type="text/event-stream", headers=headers)


async def _events(thread: WatchedThread, tail: Tail, position: int, missed: Missed) -> AsyncIterator[bytes]:
    thread.watchers += 1
    try:
        yield b"retry: 1000\n\n"
        while not tail.closed:
            page = tail.after(position)
            text = b"".join(page.lines) if page.reset is None else missed(page.reset, page.lines)
            position = page.position if page.reset is None else tail.position
            if text:
                yield text
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await tail.changed(position)
            except TimeoutError:
                yield b": \n\n"
    finally:
        thread.watchers -= 1
