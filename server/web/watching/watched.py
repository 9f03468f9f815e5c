"""WatchedThread: a thread as its pages show it, and the frames that bring all its pages up to date."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.outbound.conversation import Conversation
from ml_intern.server.web.watching.attachments import Sessions, ThreadLink
from ml_intern.server.web.watching.live import Live, partial
from ml_intern.server.web.watching.reader import Reader
from ml_intern.server.web.watching.state import PARTS, ThreadState
from ml_intern.server.web.watching.timeline import Changes, Timeline
from ml_intern.session.wire.codec import decode_event, encode_event
from ml_intern.session.wire.codec import line as json_line
from ml_intern.session.wire.current import AT_WORK, ENDINGS, REPLACED, CurrentState
from ml_intern.session.wire.tail import TRANSIENT, Tail

SHOWN = 100
"""Messages that a page shows at first."""
FLUSH_SECONDS = 0.1
"""The time in which chunks of a reply are collected."""
ATTACH_SECONDS = 1.0
RESYNC = ("resumed", "turn_complete", "interrupted", "undo_complete", "compacted")
"""Events after which the conversation is read again, because it may hold more than the events report."""

Render = Callable[["WatchedThread", str], str]
"""Renders a part of the page by its name in PARTS, or "older"."""


class WatchedThread:
    """Follows a thread, in any process. All pages of the thread read the same frames."""

    def __init__(self, thread_id: str, reader: Reader, sessions: Sessions, render: Render) -> None:
        self.thread_id = thread_id
        self.epoch = uuid4().hex[:12]
        self.timeline, self.live, self.state = Timeline(), Live(), ThreadState()
        self.current = CurrentState()
        self.ending: Mapping[str, Any] | None = None
        """The event with which the last turn ended, if it was seen and none has begun since."""
        self.frames, self.events = Tail(self.epoch, 0), Tail(thread_id, 0)
        self.watchers = 0
        self.link: ThreadLink | None = None
        self._reader, self._sessions, self._render = reader, sessions, render
        self._linking = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._attaching: asyncio.Task[None] | None = None
        self._flushing: asyncio.TimerHandle | None = None

    async def open(self, link: ThreadLink | None = None) -> None:
        """Read the thread, and attach to the process that runs it if there is one. Raises UsageError."""
        if link is not None:
            await self._follow(link)
        await self.resync()
        await self._attach_if_served()
        self._attaching = asyncio.create_task(self._keep_attaching())

    def show(self, row: Mapping[str, Any]) -> None:
        """Take the thread's row, for a page that is shown before the thread is open."""
        self.state.load(Conversation(self.thread_id, ()), row)

    async def close(self) -> None:
        """End the connection, and the session if this server started it."""
        for task in filter(None, (self._attaching, self._following)):
            task.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        await asyncio.gather(*filter(None, (self._attaching, self._following)), return_exceptions=True)
        if self.link is not None:
            await self.link.close()
        self.end_streams()

    def end_streams(self) -> None:
        """End what the pages read."""
        for tail in (self.frames, self.events):
            tail.close()

    @property
    def place(self) -> str:
        """Return the id of the latest frame."""
        return f"{self.epoch}-{self.frames.seq}"

    async def described(self) -> Mapping[str, Any]:
        """Return the events of the current state, the number of the last one, and how the last turn ended."""
        if self.link is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(ATTACH_SECONDS):
                    await self.link.received.join()
        events = [encode_event(event) for event in self.current.events()]
        return {"seq": self.events.seq, "events": events, "ending": self.ending}

    # --- changes

    async def submit(self, operation: Mapping[str, Any], id: str = "") -> None:
        """Submit an operation, in a session that is started if no process runs the thread. Raises MLInternError."""
        if self.link is None and operation["type"] in ("undo", "redo"):
            await self._reader.request("move", thread=self.thread_id, operation=dict(operation))
            await self.resync()
            return
        if self.link is None and operation["type"] == "interrupt":
            raise UsageError("no turn is running in this thread", "nothing was changed")
        await (await self.linked()).submit(dict(operation), id)

    async def linked(self) -> ThreadLink:
        """Return the connection to the thread's session, which is started if none runs. Raises MLInternError."""
        async with self._linking:
            if self.link is None and self._sessions.is_running(self.thread_id):
                await self._follow(await self._sessions.attach(self.thread_id))
            if self.link is None:
                await self._follow(await self._sessions.resume(self.thread_id, self.state.folder))
            if self.link is None:
                raise UsageError("the session has ended", "try again")
            return self.link

    async def rest(self) -> bool:
        """Close the session that this server started, if it has nothing to do. Return whether nothing is left."""
        if self.link is None:
            return True
        if not self.link.owned:
            return False
        if self.state.status == "running" or self.state.queue["messages"] or await self.link.get("runs"):
            return False
        async with self._linking:
            link, self.link = self.link, None
            await link.close()
        return True

    # --- the session

    async def _keep_attaching(self) -> None:
        while True:
            await asyncio.sleep(ATTACH_SECONDS)
            if self.watchers:
                await self._attach_if_served()

    async def _attach_if_served(self) -> None:
        """Attach if another process has opened the thread."""
        async with self._linking:
            if self.link is None and self._sessions.is_running(self.thread_id):
                with suppress(MLInternError):  # it has ended meanwhile, or is busy; it is tried again
                    await self._follow(await self._sessions.attach(self.thread_id))

    async def _follow(self, link: ThreadLink) -> None:
        reply = await link.watch()
        self.events.seq = max(self.events.seq, int(reply["seq"]))
        self.link = link
        self.state.attached(link.runner)
        await self.resync()
        self._following = asyncio.create_task(self._receive(link))
        self._send("status")

    async def _receive(self, link: ThreadLink) -> None:
        while (line := await link.received.get()) is not None:
            if "reset" in line:
                await self.resync()
            elif "event" in line:
                if line["event"]["thread_id"] != self.thread_id:  # the session continues with another thread
                    break
                await self._take(line["event"], is_new="state" not in line)
            link.received.task_done()
        if self.link is link:
            self.link = None
            await link.close()
            self.state.detached()
            self.live.clear()
            await self.resync()
            self._send("status", "question", "queue", live=True)

    def _note(self, event: Mapping[str, Any]) -> None:
        """Note what describes the current state."""
        if event["type"] in (*REPLACED, *AT_WORK):
            self.current.take(decode_event(event))
        if event["type"] in ENDINGS:
            self.ending = event
        elif event["type"] in ("processing", "approval_answered"):
            self.ending = None

    async def _take(self, event: Mapping[str, Any], *, is_new: bool) -> None:
        self._note(event)
        if is_new:
            text = b"id: %d\ndata: %b\n" % (event["seq"], json_line(event))
            self.events.put(event["seq"], text, transient=event["type"] in TRANSIENT)
        changed = self.state.take(event)
        changes = self.timeline.take(event)
        is_known = event["type"] == "assistant_chunk" and self.timeline.holds(event["data"]["message_id"])
        is_live = not is_known and self.live.take(event)
        if event["type"] == "assistant_chunk" or (event["type"] == "tool_log" and is_live):
            self._flush_soon()
            return
        self._send(*changed, changes=changes, live=is_live)
        if event["type"] in RESYNC:
            await self.resync()

    # --- frames

    async def resync(self) -> None:
        """Read the conversation and the thread's row again, and send what changed."""
        try:
            conversation = await self._reader.conversation(self.thread_id)
            row = await self._reader.get(self.thread_id, "row")
        except UsageError:
            if self.link is None:
                raise
            conversation, row = Conversation(self.thread_id, ()), None  # before the first turn
        running = self.link is not None and self.state.status in ("running", "waiting")
        changes = self.timeline.load(conversation, running=running)
        changed = self.state.load(conversation, row)
        if not self.state.runner:
            changed |= await self._read_rest()
        self._send(*changed, changes=changes)

    async def _read_rest(self) -> set[str]:
        """Read what only events report while a session is open."""
        names = ("pending_approval", "queue", "plan")
        pending, queue, plan = await asyncio.gather(*(self._reader.get(self.thread_id, name) for name in names))
        return self.state.load_rest(pending, queue, plan)

    def _flush_soon(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Send the chunks that were collected."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
            self._send(live=True)

    def _send(self, *parts: str, changes: Changes | None = None, live: bool = False) -> None:
        """Send a frame with the parts of the page that changed."""
        if self._flushing is not None and (live or changes):
            self._flushing.cancel()
            self._flushing = None
        html = self._log(changes) if changes else ""
        html += self.live.changes() if live else ""
        html += "".join(partial(f"#{name}", self._render(self, name)) for name in PARTS if name in parts)
        if html:
            self.frames.put(self.frames.seq + 1, self.frame(html, self.frames.seq + 1))

    def frame(self, html: str, number: int) -> bytes:
        """Return a server-sent event with partials of the page."""
        lines = html.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return "".join([f"id: {self.epoch}-{number}\n", *(f"data: {line}\n" for line in lines), "\n"]).encode()

    def whole_frame(self) -> bytes:
        """Return the frame that brings a page up to date which missed frames."""
        html = self._log(Changes(reset=True)) + partial("#live", self.live.whole())
        html += "".join(partial(f"#{name}", self._render(self, name)) for name in PARTS)
        return self.frame(html, self.frames.seq)

    def _log(self, changes: Changes) -> str:
        if changes.reset:
            shown = "".join(block.html() for block in self.timeline.latest(SHOWN))
            return partial("#log", shown) + partial("#older", self._render(self, "older"))
        changed = "".join(partial(f"#b{block.number}", block.html(), "outerMorph") for block in changes.changed)
        added = "".join(block.html() for block in changes.added)
        return changed + (partial("#log", added, "beforeend") if added else "")
