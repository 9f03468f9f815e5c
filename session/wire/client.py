"""RemoteSession: the session of another process, over a connection. Operations go there, its events come here."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ml_intern.configs.errors import ConfigurationError, MLInternError, TemporaryError, UsageError
from ml_intern.graph import operations as ops
from ml_intern.graph.events import Event
from ml_intern.session.mentions import Expanded, expand_mentions
from ml_intern.session.protocol import ModelInfo, PermissionInfo, RunReport, ToolInfo, TurnEnd
from ml_intern.session.turns.rewind import RewindResult
from ml_intern.session.wire import codec
from ml_intern.session.wire.link import DELAYS, Connect, ConnectionLost, Line, RequestRefused, WireConnection
from ml_intern.session.wire.requests import REQUESTS

if TYPE_CHECKING:
    from ml_intern.execution.tool import ServerState
    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.state import PlanStep
    from ml_intern.outbound.conversation import Conversation, Message
    from ml_intern.safety.policy import Verdict
    from ml_intern.session.protocol import (
        QueuedMessage,
        RunRow,
        Spending,
        ThreadRow,
        Threads,
        Totals,
        TurnInfo,
        UndoPreview,
    )

BEGINNINGS = ("processing", "approval_answered")
"""Events with which a turn starts or continues."""


_CODES = {one.exit_code: codec.tag(one.__name__) for one in (UsageError, TemporaryError, ConfigurationError)}


class Requests:
    """The requests of a connection by name, with the types of their results."""

    def __init__(self, link: WireConnection) -> None:
        self._link = link

    async def submit(self, operation: ops.Operation) -> None:
        """Submit an operation. Raises its errors, and TemporaryError if the connection was lost."""
        await self._sent(do=codec.encode_operation(operation))

    async def get(self, name: str, **args: Any) -> Any:
        """Return the result of a request. Raises its errors, and TemporaryError if the connection was lost."""
        request = REQUESTS[name]
        verb = {"call" if request.changes else "get": name}
        return codec.adapter(request.result).validate_python((await self._sent(**verb, args=args))["value"])

    async def watch(self) -> TurnEnd | None:
        """Receive the current state and all later events. Return the end of the last turn."""
        try:
            return _turn_end(await self._link.watch())
        except ConnectionLost as lost:
            raise lost_error(str(self._link.greeting["thread_id"])) from lost

    async def _sent(self, **message: Any) -> Line:
        try:
            return await self._link.request(**message)
        except RequestRefused as refused:
            raise codec.decode_error(refused.error) from refused
        except ConnectionLost as lost:
            raise lost_error(str(self._link.greeting["thread_id"])) from lost


def lost_error(thread_id: str) -> TemporaryError:
    """Return the error of a connection that was lost."""
    return TemporaryError("the process that ran this thread has ended", f"continue with: ml-intern -r {thread_id[:8]}")


def _turn_end(line: Line) -> TurnEnd | None:
    end: TurnEnd | None = codec.adapter(TurnEnd | None).validate_python(line["end"])
    return end


def _taken(queue: "asyncio.Queue[Event | None]") -> Iterator[Event | None]:
    while not queue.empty():
        yield queue.get_nowait()
        queue.task_done()


class RemoteRuns:
    """The background runs of the thread that the session is in."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def ids(self, prefix: str = "") -> Sequence[str]:
        """Return the ids that begin with `prefix`."""
        return list(await self._requests.get("run_ids", prefix=prefix))

    async def unfinished(self) -> "Sequence[RunRow]":
        """Return the runs that have not ended."""
        return list(await self._requests.get("runs"))

    async def check(self, prefix: str = "", *, stop: bool = False, logs: bool = False) -> Sequence[RunReport]:
        """Poll the runs whose ids begin with `prefix`. `stop` stops them, `logs` adds the end of their logs."""
        found = await self._requests.get("stop_run" if stop else "check_runs", prefix=prefix, logs=logs)
        return [RunReport(**vars(one)) for one in found]

    async def stop(self) -> "Sequence[RunRow]":
        """Stop all runs. Return those that could not be stopped."""
        return list(await self._requests.get("stop_runs"))


class RemoteSession:
    """An open thread of another process.

    `close` ends the connection, not the session, unless the process was started for this connection.
    """

    def __init__(self, connect: Connect, threads: "Threads", *, name: str, owned: bool) -> None:
        self._link = WireConnection(connect, self._take, self._lost, name=name, delays=() if owned else DELAYS)
        self._requests = Requests(self._link)
        self._threads = threads
        self._owned = owned
        self._received: asyncio.Queue[Line | None] = asyncio.Queue()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._delivering: asyncio.Task[None] | None = None
        self._model: ModelInfo
        self._tools: Sequence[ToolInfo]
        self._servers: Sequence[ServerState]
        self._is_lost = False
        self.end: TurnEnd | None = None
        self.options: RunOptions
        self.runs = RemoteRuns(self._requests)
        self.thread_id = ""

    @classmethod
    async def open(cls, connect: Connect, threads: "Threads", *, name: str, owned: bool = False) -> Self:
        """Connect to a session and watch it. `name` is shown to other clients.

        `owned`: the process was started for this connection and ends with it.

        Raises:
            OSError, ConnectionLost: nothing answers.
            MLInternError: the process has another version, or cannot open the session.
        """
        session = cls(connect, threads, name=name, owned=owned)
        try:
            await session._link.open()
        except RequestRefused as refused:
            raise codec.decode_error(refused.error) from refused
        session.thread_id = session._link.greeting["thread_id"]
        try:
            await session._refresh()
            session.end = await session._requests.watch()
        except BaseException:
            await session._link.close()
            raise
        session._delivering = asyncio.create_task(session._deliver())
        return session

    @property
    def attached(self) -> bool:
        """Whether another process runs the thread, and continues when this session is closed."""
        return not self._owned

    async def submit(self, operation: ops.Operation) -> None:
        """Submit an operation. Raises the errors of the protocol, and TemporaryError if the connection was lost."""
        await self._requests.submit(operation)

    async def events(self) -> AsyncIterator[Event]:
        """Yield the current state as events, then the events as they happen, up to `shutdown`.

        Raises TemporaryError if the process that runs the thread has ended.
        """
        while (event := await self._events.get()) is not None:
            yield event
            self._events.task_done()
        if self._is_lost:
            raise lost_error(self.thread_id)

    async def idle(self) -> None:
        """Wait until every operation has finished and all its events were read."""
        await self._at("idle")

    async def at_rest(self, *, runs_first: bool = False) -> None:
        """Wait until the session is idle and no background run can start another turn."""
        await self._at("at_rest", runs_first=runs_first)

    async def rename(self, title: str) -> None:
        """Change the title."""
        await self._perform(ops.Rename(title))

    async def move(self, operation: ops.Undo | ops.Redo) -> RewindResult:
        """Undo or redo."""
        moved: list[RewindResult] = []
        for event in await self._perform(operation):
            if event.type == "undo_complete":
                moved.append(RewindResult(**{name: event.data[name] for name in ("turns", "text", "notes")}))
        return moved[0]

    async def _perform(self, operation: ops.Operation) -> list[Event]:
        """Perform an operation and return its events, where nothing else reads them.

        Raises the errors of the operation, and TemporaryError if a turn runs.
        """
        row = await self.row()
        if row is not None and row.state == "running":
            raise TemporaryError(f"a turn is running in thread {self.thread_id}", "wait until it ends, or interrupt it")
        await self.submit(operation)
        await self._requests.get("idle")
        await self._received.join()
        seen = [event for event in _taken(self._events) if event is not None]
        for event in seen:
            if event.type == "error" and event.data["exit_code"] is not None:
                raise codec.decode_error({"code": _CODES.get(event.data["exit_code"]), **event.data})
        return seen

    async def close(self) -> None:
        """End the connection; also the session, if its process was started for this connection."""
        if self._owned:
            await self._link.finish()
        elif self._delivering is not None and not self._delivering.done():
            self._received.put_nowait(None)
        if self._delivering is not None:
            await self._delivering
        await self._link.close()

    # --- what interfaces read

    def model(self) -> ModelInfo:
        """Return details of the current model."""
        return self._model

    def tools(self) -> Sequence[ToolInfo]:
        """Return the tools of the model."""
        return self._tools

    def servers(self) -> "Sequence[ServerState]":
        """Return the state of the MCP servers."""
        return self._servers

    def expand_mentions(self, text: str) -> Expanded:
        """Add the files that a message names as @path."""
        no_images = "" if self._model.images is not False else self.options.model
        return expand_mentions(text, Path(self.options.workspace), self.options.add_dirs, no_images)

    def all_threads(self) -> "Threads":
        """Return the threads in the same data folder."""
        return self._threads

    async def row(self) -> "ThreadRow | None":
        """Return its row in the list of threads; None before the first turn."""
        row: ThreadRow | None = await self._requests.get("row")
        return row

    async def history(self) -> "Sequence[Message]":
        """Return its messages, without times."""
        return list(await self._requests.get("history"))

    async def queue(self) -> "Sequence[QueuedMessage]":
        """Return the messages that wait for their turn, in order."""
        return list(await self._requests.get("queue"))

    async def plan(self) -> "Sequence[PlanStep]":
        """Return its plan."""
        return list(await self._requests.get("plan"))

    async def turns(self) -> "Sequence[TurnInfo]":
        """Return the turns that can be undone, oldest first."""
        return list(await self._requests.get("turns"))

    async def totals(self) -> "Totals":
        """Return the usage of the thread and its sub-agents."""
        totals: Totals = await self._requests.get("totals")
        return totals

    async def spending(self) -> "Sequence[Spending]":
        """Return the usage by source and model."""
        return list(await self._requests.get("spending"))

    async def usage(self, since: "Sequence[Spending]" = ()) -> Mapping[str, Any]:
        """Return the usage since an earlier `spending`, in the form of the event `result`."""
        usage: Mapping[str, Any] = await self._requests.get("usage", since=[asdict(one) for one in since])
        return usage

    async def pending_approval(self) -> Mapping[str, Any] | None:
        """Return the fields of `approval_required`; None if no approval is pending."""
        pending: Mapping[str, Any] | None = await self._requests.get("pending_approval")
        return pending

    async def preview_undo(self, operation: ops.Undo) -> "UndoPreview":
        """Return the effect of an undo, file by file. Raises the errors of an undo."""
        preview: UndoPreview = await self._requests.get("preview_undo", **asdict(operation))
        return preview

    async def conversation(self) -> "Conversation":
        """Return the whole conversation with times and costs, for export."""
        conversation: Conversation = await self._requests.get("conversation")
        return conversation

    async def evidence(self) -> Mapping[str, Any]:
        """Return the evidence card: answers with their claims, locks, what ran, and what is incomplete."""
        card: Mapping[str, Any] = await self._requests.get("evidence")
        return card

    async def permissions(self) -> PermissionInfo:
        """Return the permission rules and saved answers that apply here."""
        return PermissionInfo(**vars(await self._requests.get("permissions")))

    async def remove_permission(self, number: int) -> bool:
        """Remove a saved "always" answer. Return False if it does not exist."""
        return bool(await self._requests.get("remove_permission", number=number))

    async def judge(self, command: str) -> "Verdict":
        """Return the policy's verdict on a shell command, without running it."""
        verdict: Verdict = await self._requests.get("judge", command=command)
        return verdict

    async def set_trace_visibility(self, *, public: bool) -> str:
        """Make the user's dataset of traces public or private. Return its id. Raises MLInternError."""
        return str(await self._requests.get("set_trace_visibility", public=public))

    # --- events

    def _take(self, line: Line) -> None:
        self._received.put_nowait(line)

    def _lost(self) -> None:
        self._received.put_nowait(None)

    async def _at(self, name: str, **args: Any) -> None:
        """Wait for the reply, and until all events before it were read."""
        await self._requests.get(name, **args)
        await self._received.join()
        await self._events.join()

    async def _deliver(self) -> None:
        """Pass on the events, each after what the session reads from them."""
        while (line := await self._received.get()) is not None:
            if "end" in line:
                self.end = _turn_end(line)
            if "event" in line and await self._pass_on(line):
                break
            if "reset" in line:
                self._report("events were missed", "the conversation is complete in the thread")
            self._received.task_done()
        else:
            self._is_lost = not self._link.is_open
            if not self._is_lost:
                self._emit("shutdown", reason="detached")
        self._received.task_done()
        self._events.put_nowait(None)

    async def _pass_on(self, line: Line) -> bool:
        """Pass on an event. Return whether it is the last one."""
        event = codec.decode_event(line["event"])
        self.thread_id = event.thread_id
        if event.type in BEGINNINGS and not line.get("state"):
            self.end = None
        elif event.type == "ready" and not line.get("state"):
            with suppress(MLInternError):  # the connection was lost, which ends the events
                await self._refresh()
        self._events.put_nowait(event)
        if event.type == "ready" and line.get("state"):
            await self._resumed(event)
        return event.type == "shutdown"

    async def _resumed(self, ready: Event) -> None:
        """Report that a thread with turns was opened, as a session of this process does."""
        with suppress(MLInternError):
            row = await self.row()
            if row is not None and row.turns:
                found = {
                    "title": row.title,
                    "turns": row.turns,
                    "moved_from": "",
                    "pending": "",
                    "interrupted": [],
                    "ended": "",
                }
                self._events.put_nowait(Event("resumed", ready.thread_id, ready.seq, time.time(), found))

    async def _refresh(self) -> None:
        """Read what the protocol offers without waiting."""
        get = self._requests.get
        found = await asyncio.gather(get("options"), get("model"), get("tools"), get("servers"))
        self.options, self._model, self._tools, self._servers = found

    def _report(self, message: str, remedy: str) -> None:
        self._emit("error", message=message, remedy=remedy, exit_code=None, retry_in_s=None)

    def _emit(self, type: str, **data: Any) -> None:
        self._events.put_nowait(Event(type, self.thread_id, self._link.seq, time.time(), data))
