"""Registry: the threads of this machine for the web server, and those of them that pages watch."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ml_intern.configs.errors import UsageError
from ml_intern.outbound.exporting.formats import FORMATS
from ml_intern.server.web.watching.attachments import Sessions, ThreadLink, ThreadRequest
from ml_intern.server.web.watching.processes import PROCESSES
from ml_intern.server.web.watching.reader import Reader
from ml_intern.server.web.watching.watched import Render, WatchedThread
from ml_intern.session.threads import open_threads

MAX_LISTED = 200
SWEEP_SECONDS = 20.0
UNWATCHED_SECONDS = 60.0
"""The time after which a thread that no page shows is closed, if it has nothing to do."""
MAX_FOLDERS = 20
SHOWN_AFTER_SECONDS = 0.3
"""The time after which the page of a thread is shown without its conversation."""


class Registry:
    """Opens threads when a page asks for them, and closes them when none does."""

    def __init__(self, sessions: Sessions, render: Render) -> None:
        self.reader = Reader()
        self._sessions = sessions
        self._render = render
        self._watched: dict[str, WatchedThread] = {}
        self._unwatched: dict[str, float] = {}
        self._opening: dict[str, asyncio.Task[WatchedThread]] = {}
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._opened: set[asyncio.Task[WatchedThread]] = set()

    async def open(self) -> None:
        """Open the list of threads. Raises the store's errors."""
        self._threads = await self._stack.enter_async_context(open_threads(lambda _message, _remedy: None))
        PROCESSES.warm_up()
        self._tasks = [asyncio.create_task(self.reader.start()), asyncio.create_task(self._sweep())]

    async def close(self) -> None:
        """Close every thread."""
        tasks = [*self._tasks, *self._opening.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(thread.close() for thread in self._watched.values()), return_exceptions=True)
        await self.reader.close()
        PROCESSES.close()
        await self._stack.aclose()

    def end_streams(self) -> None:
        """End the streams of all pages."""
        for thread in self._watched.values():
            thread.end_streams()

    async def rows(self, user: str = "") -> Sequence[Mapping[str, Any]]:
        """Return the threads, last used first, or those that a user has access to. Nothing heavy is imported for it."""
        return [asdict(row) for row in await self._threads.list(None, MAX_LISTED, user=user)]

    async def statuses(self, user: str = "") -> Sequence[Mapping[str, Any]]:
        """Return the threads with what they ask and measure, or those that a user has access to."""
        found: Sequence[Mapping[str, Any]] = await self.reader.request("statuses", limit=MAX_LISTED, user=user)
        return found

    async def folders(self) -> Sequence[str]:
        """Return the folders of recent threads, and the one in which the server was started."""
        recent = [row["folder"] for row in await self.rows() if Path(row["folder"]).is_dir()]
        return list(dict.fromkeys([str(Path.cwd()), *recent]))[:MAX_FOLDERS]

    async def get(self, thread_id: str) -> WatchedThread:
        """Return the thread with exactly this id. Raises UsageError."""
        found = self._watched.get(thread_id)
        if found is not None:
            return found
        opening = self._opening.get(thread_id)
        if opening is None:
            opening = self._opening[thread_id] = asyncio.create_task(self._found(thread_id))
            opening.add_done_callback(lambda one: self._opened_now(thread_id, one))
        return await asyncio.shield(opening)

    @property
    def remembers(self) -> bool:
        """Whether an operation that is submitted again with the same id is performed once."""
        return self._sessions.remembers

    async def submit(self, thread_id: str, operation: Mapping[str, Any], id: str) -> None:
        """Submit an operation with an id. Where no page shows the thread, nothing is read for it. Raises its errors."""
        found = self._watched.get(thread_id)
        if found is None and self._sessions.remembers:
            await self._sessions.post(thread_id, dict(operation), id)
        else:
            await (found or await self.get(thread_id)).submit(operation, id)

    async def show(self, thread_id: str) -> tuple[WatchedThread, bool]:
        """Return the thread for a page, and whether it is open. One that is not has only its row. Raises UsageError."""
        opening = asyncio.create_task(self.get(thread_id))
        self._opened.add(opening)
        opening.add_done_callback(self._opened.discard)
        await asyncio.wait({opening}, timeout=SHOWN_AFTER_SECONDS)
        if opening.done():
            return opening.result(), True
        row = next((row for row in await self.rows() if row["id"] == thread_id), None)
        if row is None:
            return await opening, True
        opening.add_done_callback(lambda one: one.cancelled() or one.exception())  # the page's stream reports it
        thread = WatchedThread(thread_id, self.reader, self._sessions, self._render)
        thread.show(row)
        return thread, False

    async def create(self, wanted: ThreadRequest, text: str) -> WatchedThread:
        """Start a new thread with a first message. Raises MLInternError."""
        folder = wanted.folder
        if not wanted.user and not (Path(folder).is_absolute() and Path(folder).is_dir()):
            raise UsageError(f"{folder[:200]!r} is not a folder", "give the absolute path of a folder on this machine")
        link = await self._sessions.create(wanted)
        thread = await self._open(link.thread_id, link)
        named = {"id": wanted.message_id} if wanted.message_id else {}
        await thread.submit({"type": "user_input", "text": text, **named})
        return thread

    async def export(self, thread_id: str, name: str) -> str:
        """Return a thread in an export format. Raises UsageError."""
        if name not in FORMATS:
            raise UsageError(f"there is no export format {name[:50]!r}", f"the formats are {', '.join(FORMATS)}")
        return str(await self.reader.request("export", thread=thread_id, format=name))

    async def _found(self, thread_id: str) -> WatchedThread:
        row = await self.reader.get(thread_id, "row")
        if row is None or row["id"] != thread_id:
            raise UsageError(f"no thread {thread_id[:100]!r}", "the page of all threads lists them")
        return await self._open(thread_id, None)

    def _opened_now(self, thread_id: str, opening: "asyncio.Task[WatchedThread]") -> None:
        del self._opening[thread_id]
        if not opening.cancelled():
            opening.exception()  # who waits for it gets it

    async def _open(self, thread_id: str, link: ThreadLink | None) -> WatchedThread:
        thread = WatchedThread(thread_id, self.reader, self._sessions, self._render)
        await thread.open(link)
        self._watched[thread_id] = thread
        self._unwatched[thread_id] = time.monotonic()
        return thread

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for id, thread in list(self._watched.items()):
                if thread.watchers:
                    self._unwatched[id] = time.monotonic()
                elif time.monotonic() - self._unwatched[id] > UNWATCHED_SECONDS and (
                    thread.link is None or not thread.link.owned or await thread.rest()
                ):
                    del self._watched[id]
                    await thread.close()
