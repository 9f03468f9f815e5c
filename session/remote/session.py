"""ServerSession: a thread of a server as a session. Operations are posted over HTTP, events are read from it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from ml_intern.configs.errors import MLInternError, TemporaryError, UsageError
from ml_intern.configs.version import version
from ml_intern.graph import operations as ops
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Event
from ml_intern.session.mentions import Expanded
from ml_intern.session.protocol import ModelInfo, RunReport, ToolInfo, TurnEnd
from ml_intern.session.remote.client import ServerClient
from ml_intern.session.remote.feed import EventFeed, Missed
from ml_intern.session.remote.threads import ServerThread, ServerThreads, elsewhere
from ml_intern.session.turns.rewind import RewindResult
from ml_intern.session.wire.codec import encode_operation
from ml_intern.store.ledger import ZERO_TOTALS

if TYPE_CHECKING:
    from ml_intern.execution.tool import ServerState
    from ml_intern.safety.policy import Verdict
    from ml_intern.session.protocol import PermissionInfo, RunRow, Spending, ThreadRow, Totals

BEGIN = (ops.UserInput, ops.ExecApproval, ops.Continue, ops.Compact)
"""Operations after which a turn runs."""
LOOK_SECONDS, MOVED_SECONDS = 0.5, 60.0
"""The time between two looks for the effect of an undo, and the longest."""
CODES: Mapping[str, int] = {"done": 0, "waiting": 3, "contradicted": 4, "limit": 124, "interrupted": 130}
"""The exit codes of the ends of turns; others are failures."""


def threads_of(client: ServerClient) -> ServerThreads:
    """Return the threads of a server."""

    @asynccontextmanager
    async def hold(thread_id: str) -> "AsyncIterator[ServerSession]":
        session = await ServerSession.open(client, thread_id)
        try:
            yield session
        finally:
            await session.close()

    return ServerThreads(client, hold)


class ServerRuns:
    """The background runs of a thread of a server."""

    def __init__(self, session: "ServerSession") -> None:
        self._session = session

    async def ids(self, prefix: str = "") -> Sequence[str]:
        """Return the ids that begin with `prefix`."""
        return [report.run.id for report in await self.check(prefix)]

    async def unfinished(self) -> "Sequence[RunRow]":
        """Return the runs that have not ended."""
        return [report.run for report in await self.check() if report.run.open]

    async def check(self, prefix: str = "", *, stop: bool = False, logs: bool = False) -> Sequence[RunReport]:
        """Return the runs whose ids begin with `prefix` as the server knows them."""
        if stop or logs:
            raise elsewhere("stopping runs and reading their logs")
        if not self._session.thread_id:
            return []
        found = await self._session.all_threads().runs(self._session.thread_id)
        return [RunReport(one.run, one.status) for one in found if one.run.id.startswith(prefix)]

    async def stop(self) -> "Sequence[RunRow]":
        """Stop nothing: the runs belong to the server's machine. Return those that continue."""
        return await self.unfinished()


class ServerSession(ServerThread):
    """An open thread of a server, or one that its first message starts. `close` leaves it to the server."""

    attached = True

    def __init__(self, client: ServerClient, thread_id: str, *, folder: str = "", model: str = "") -> None:
        super().__init__(client, thread_id)
        self.end: TurnEnd | None = None
        self.options = RunOptions(model=model, workspace=folder)
        self.runs = ServerRuns(self)
        self._threads = threads_of(client)
        self._tools: Sequence[ToolInfo] = ()
        self._events: asyncio.Queue[Event | MLInternError | None] = asyncio.Queue()
        self._reading: asyncio.Task[None] | None = None
        self._resting = asyncio.Event()
        self._resting.set()
        self._awaited = ""
        """The id of the message whose turn is awaited; "" for any turn."""
        self._seq = 0
        self._closed = False
        self._moved = asyncio.Event()
        """Set when the server has reported an undo or a redo."""

    @classmethod
    async def open(cls, client: ServerClient, thread_id: str, *, folder: str = "", model: str = "") -> Self:
        """Open a thread, or without an id one that is new. Raises MLInternError."""
        session = cls(client, thread_id, folder=folder, model=model)
        await session._enter(thread_id)
        return session

    async def submit(self, operation: ops.Operation) -> None:
        """Submit an operation. Raises its errors, and TemporaryError if the server does not answer."""
        match operation:
            case ops.New():
                await self._enter("")
            case ops.Resume():
                await self._enter((await self._threads.find(operation.thread)).id)
            case ops.Fork():
                await self._enter((await self._threads.fork(self.thread_id, operation.turn)).id)
            case ops.Shutdown():
                self._events.put_nowait(None)
            case ops.Undo() | ops.Redo():
                await self._move(operation)
            case ops.UserInput() if not self.thread_id:
                await self._begin(operation)
            case _:
                await self._post(operation)

    async def events(self) -> AsyncIterator[Event]:
        """Yield the current state as events, then the events as they happen. Raises the error that ends them."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, MLInternError):
                self._events.task_done()
                raise event
            yield event
            self._events.task_done()
        self._events.task_done()

    async def idle(self) -> None:
        """Wait until the turn that was begun here or runs on the server has ended, and its events were read."""
        await self._resting.wait()
        await self._events.join()

    async def at_rest(self, *, runs_first: bool = False) -> None:  # noqa: ARG002  runs start turns on the server
        """Wait as `idle` does: background runs start turns on the server."""
        await self.idle()

    async def close(self) -> None:
        """Stop reading. The thread continues on the server."""
        if self._closed:
            return
        self._closed = True
        await self._stop_reading()
        self._emit("shutdown", reason="detached")
        self._events.put_nowait(None)

    async def rename(self, title: str) -> None:
        """Change the title."""
        await self._post(ops.Rename(title))

    async def move(self, operation: ops.Undo | ops.Redo) -> RewindResult:
        """Undo or redo. Raises its errors, and TemporaryError if no worker performs it."""
        before = await self.turns()
        self._moved.clear()
        await self._post(operation)
        after, until = before, time.monotonic() + MOVED_SECONDS
        while len(after) == len(before):
            if time.monotonic() > until:
                raise TemporaryError("no worker has performed this yet", "it is saved and waits")
            await asyncio.sleep(LOOK_SECONDS)
            after = await self.turns()
        text = after[-1].text if isinstance(operation, ops.Redo) else before[len(after)].text
        return RewindResult(turns=abs(len(before) - len(after)), text=text, notes=[])

    async def _move(self, operation: ops.Undo | ops.Redo) -> None:
        """Undo or redo, and report it, as a server does only if a process has the thread open."""
        moved = await self.move(operation)
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._moved.wait()
                return
        direction = "undo" if isinstance(operation, ops.Undo) else "redo"
        self._emit("undo_complete", direction=direction, turns=moved.turns, text=moved.text, notes=moved.notes)

    # --- what interfaces read

    async def row(self) -> "ThreadRow | None":
        """Return its row in the list of threads; None before the first turn."""
        return await super().row() if self.thread_id else None

    async def totals(self) -> "Totals":
        """Return the usage of the thread and its sub-agents."""
        return await super().totals() if self.thread_id else ZERO_TOTALS

    async def spending(self) -> "Sequence[Spending]":
        """Return the usage by source and model."""
        return await super().spending() if self.thread_id else ()

    def model(self) -> ModelInfo:
        """Return the id of the current model. The server knows the rest."""
        return ModelInfo(self.options.model, None, None, None)

    def tools(self) -> Sequence[ToolInfo]:
        """Return the names of the tools of the model."""
        return self._tools

    def servers(self) -> "Sequence[ServerState]":
        """Return nothing: MCP servers run beside the worker."""
        return ()

    def expand_mentions(self, text: str) -> Expanded:
        """Return the text as it is: files are on the server's machine."""
        return Expanded(text, ())

    def all_threads(self) -> ServerThreads:
        """Return the threads of the server."""
        return self._threads

    async def permissions(self) -> "PermissionInfo":
        """Refuse. Raises UsageError."""
        raise elsewhere("the list of permissions")

    async def remove_permission(self, number: int) -> bool:  # noqa: ARG002  the protocol's signature
        """Refuse. Raises UsageError."""
        raise elsewhere("the list of permissions")

    async def judge(self, command: str) -> "Verdict":  # noqa: ARG002  the protocol's signature
        """Refuse. Raises UsageError."""
        raise elsewhere("the check of a command")

    async def set_trace_visibility(self, *, public: bool) -> str:  # noqa: ARG002  the protocol's signature
        """Refuse. Raises UsageError."""
        raise elsewhere("uploading traces")

    # --- operations

    async def _begin(self, message: ops.UserInput) -> None:
        """Start a thread with its first message."""
        body = {"folder": self.options.workspace, "text": message.text, "model": self.options.model, "id": message.id}
        self._wait_for("")
        try:
            created = await self._client.post("/api/threads", body)
        except BaseException:
            self._resting.set()
            raise
        await self._follow(str(created["id"]), is_new=True)

    async def _post(self, operation: ops.Operation) -> None:
        if not self.thread_id:
            raise UsageError("the thread has no message yet", "send one first")
        if isinstance(operation, BEGIN):
            self._wait_for(operation.id if isinstance(operation, ops.UserInput) else "")
        try:
            body = {"id": uuid4().hex, "do": encode_operation(operation)}
            await self._client.post_again(f"{self._path}/operations", body)
        except BaseException:
            self._resting.set()
            raise

    def _wait_for(self, message_id: str) -> None:
        self.end = None
        self._awaited = message_id
        self._resting.clear()

    # --- events

    async def _enter(self, thread_id: str) -> None:
        """Follow another thread, or none until the first message."""
        await self._stop_reading()
        self.end = None
        self._resting.set()
        if thread_id:
            await self._follow(thread_id)
        else:
            self.thread_id = ""
            self._greet(self.options.workspace)

    async def _follow(self, thread_id: str, *, is_new: bool = False) -> None:
        feed = EventFeed(self._client, thread_id)
        self.thread_id = thread_id
        state, ending = await feed.state()
        row = await self.row()
        if not any(event.type == "ready" for event in state):
            self._greet(row.folder if row else self.options.workspace)
        for event in (*state, *filter(None, [ending if is_new else None])):
            self._take(event)
        if row is not None and row.turns and not is_new:
            found = {"title": row.title, "turns": row.turns, "moved_from": "", "pending": "", "interrupted": []}
            self._emit("resumed", **found, ended="")
        self._reading = asyncio.create_task(self._read(feed))

    async def _read(self, feed: EventFeed) -> None:
        try:
            async for event in feed.events():
                if isinstance(event, Missed):
                    self._report("events were missed", "the conversation is complete in the thread")
                else:
                    self._take(event)
        except MLInternError as error:
            self._events.put_nowait(error)
        finally:
            self._resting.set()

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
            self._reading = None

    def _take(self, event: Event) -> None:
        """Pass on an event, after what the session reads from it."""
        self._seq = max(self._seq, event.seq)
        data = event.data
        match event.type:
            case "ready":
                self._note_options(data)
            case "processing":
                self.end = None
                self._awaited = "" if data["id"] == self._awaited else self._awaited
                self._resting.clear()
            case "undo_complete":
                self._moved.set()
            case "approval_answered":
                self.end = None
            case "turn_complete":
                self._ended(TurnEnd(data["status"], data["text"], CODES.get(data["status"], 1), data["iterations"]))
            case "interrupted":
                self._ended(TurnEnd("interrupted", data["reason"], CODES["interrupted"]))
            case "approval_required":
                names = ", ".join(request["name"] for request in data["requests"])
                self._ended(TurnEnd("waiting", f"approval pending: {names}", CODES["waiting"]))
        self._events.put_nowait(event)

    def _ended(self, end: TurnEnd) -> None:
        if not self._awaited:
            self.end = end
            self._resting.set()

    def _note_options(self, data: Mapping[str, Any]) -> None:
        self.options = RunOptions(
            model=data["model"],
            workspace=data["cwd"],
            approval_mode=data["approval_mode"],
            max_iterations=data["max_iterations"],
            max_budget_usd=data["max_budget_usd"],
        )
        self._tools = [ToolInfo(name, "", False, {}) for name in data["tools"]]

    def _greet(self, folder: str) -> None:
        """Describe a thread that no worker has opened yet."""
        options = self.options
        self._take(
            self._event(
                "ready", model=options.model, tools=[], version=version(), cwd=folder,
                approval_mode=options.approval_mode, sandbox="", max_iterations=options.max_iterations,
                max_budget_usd=options.max_budget_usd, unpriced_models=[], notes=[],
            )
        )  # fmt: skip

    def _report(self, message: str, remedy: str) -> None:
        self._emit("error", message=message, remedy=remedy, exit_code=None, retry_in_s=None)

    def _emit(self, type: str, **data: Any) -> None:
        self._events.put_nowait(self._event(type, **data))

    def _event(self, type: str, **data: Any) -> Event:
        return Event(type, self.thread_id, self._seq, time.time(), data)
