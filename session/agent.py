"""AgentSession: the session of this process. Operations go in, events come out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from langgraph.types import Command

from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.configs.layers import load
from ml_intern.execution.calls import judge_command
from ml_intern.execution.tool import ServerState, Services
from ml_intern.graph import operations as ops
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import OWN_CALL, Event
from ml_intern.safety.error_log import log_error
from ml_intern.safety.policy import Verdict
from ml_intern.safety.secrets.redaction import redact
from ml_intern.session.approvals import ApprovalClaim, accept_answers, approval_fields, pending_batch
from ml_intern.session.event_queue import EventQueue
from ml_intern.session.exchange.traces import Traces
from ml_intern.session.listing import ThreadListing
from ml_intern.session.mentions import Expanded, examine_input, expand_mentions
from ml_intern.session.opening.goals import change_goal
from ml_intern.session.protocol import ModelInfo, ToolInfo, TurnEnd
from ml_intern.session.ready import ready
from ml_intern.session.runner import Runner, ended_early, is_pending, pending_kind, turn_end
from ml_intern.session.thread import LockedThread
from ml_intern.session.threads import LocalThreads
from ml_intern.session.tool_calls import tool_info
from ml_intern.session.turns.client_tools import ClientTools
from ml_intern.session.turns.deliveries import Deliveries
from ml_intern.session.turns.message_queue import MessageQueue
from ml_intern.session.turns.turns import Turns
from ml_intern.session.waking import ThreadRuns
from ml_intern.snapshots.workspace import Snapshots

if TYPE_CHECKING:
    from ml_intern.execution.tool import ToolSpec
    from ml_intern.models.gateway import Models
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow


class AgentSession(LockedThread):
    """An open thread, locked by this process. `submit` operations and read `events`.

    Every turn ends with exactly one of turn_complete, approval_required or interrupted. `end` then describes it.
    """

    attached = False

    def __init__(self, runner: Runner, events: EventQueue, client_tools: ClientTools) -> None:
        services = runner.services
        files = Snapshots(services.store.home, Path(services.defaults.workspace), events.warn)
        super().__init__(runner.turns(""), files)
        self.services = services
        self.end: TurnEnd | None = None
        self._runner = runner
        self._operations: asyncio.Queue[ops.Operation] = asyncio.Queue()
        self._queue = MessageQueue(services.store.queue, events.emit)
        self._deliveries = Deliveries(self._queue, self._operations.put_nowait)
        self._events = events
        self._held = AsyncExitStack()
        self._worker: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._closing = False
        self._claim = ApprovalClaim()
        self._client_tools = client_tools
        client_tools.changed = self._greet
        self._emit = events.emit
        self.runs = ThreadRuns(services, self._emit, lambda: self._operations.put_nowait(ops.Wake()))
        self._handlers: dict[type, Callable[[Any], Awaitable[None]]] = {
            ops.Settle: self._settle,
            ops.Deliver: self._deliver,
            ops.ExecApproval: self._exec_approval,
            ops.Interrupt: lambda _: self._stopped(),
            ops.Compact: self._compact,
            ops.Continue: self._reopen,
            ops.Undo: self._move,
            ops.Redo: self._move,
            ops.Fork: self._fork,
            ops.Rename: lambda op: self.rename(op.title),
            ops.SetModel: lambda op: self._change(model=op.model),
            ops.SetEffort: lambda op: self._change(effort=op.level),
            ops.SetGoal: lambda op: change_goal(self._change, self.options, op.goal, self._listing.save),
            ops.RunCommand: self._run_command,
            ops.New: lambda _: self._enter(None),
            ops.Resume: lambda op: self._enter(op.thread),
            ops.Wake: self._wake,
        }

    @classmethod
    async def open(
        cls,
        store: "Store",
        models: "Models",
        tools: "Mapping[str, ToolSpec]",
        options: RunOptions,
        *,
        thread: str | None = None,
        fork: bool = False,
    ) -> Self:
        """Open a new thread, or an existing one by id, unique prefix or title; with `fork` a copy of it.

        Raises:
            UsageError: there is no such thread, or more than one.
            ThreadLocked: another process uses it.
        """
        return await cls.start(Services(models, tools, store, options), EventQueue(), thread=thread, fork=fork)

    @classmethod
    async def start(cls, services: Services, events: EventQueue, *, thread: str | None, fork: bool = False) -> Self:
        """Open a thread with these services and publish to `events`. Raises the same errors as `open`."""
        await services.models.expect(services.defaults)
        if services.notifier is not None:
            events.listen(services.notifier.take)
        client_tools = ClientTools(events.emit, services.tools)
        services = replace(services, tools=client_tools.with_others())
        session = cls(await Runner.create(services), events, client_tools)
        await session._enter(thread, fork=fork)
        session._worker = asyncio.create_task(session._work())
        return session

    async def submit(self, operation: ops.Operation) -> None:
        """Queue an operation, or perform it at once, see the protocol. Raises the errors of the protocol."""
        match operation:
            case ops.UserInput():
                await self._enqueue(operation)
            case ops.Unqueue() | ops.EditQueued():
                await self._queue.change(operation)
            case ops.OfferTools() | ops.ToolReply() | ops.Disconnected():
                self._client_tools.take(operation)
            case ops.Steer():
                await self._steer(operation)
            case ops.SetMode():
                self.options = replace(self.options, approval_mode=operation.mode)
                self._greet()
            case ops.Interrupt() | ops.Shutdown():
                self._interrupt(operation)
            case _:
                if isinstance(operation, ops.ExecApproval):
                    self._claim.take(operation)
                self._operations.put_nowait(operation)

    def events(self) -> AsyncIterator[Event]:
        """Yield the events as they happen, up to `shutdown`."""
        return self._events.read()

    async def idle(self) -> None:
        """Wait until every operation has finished and all its events were read."""
        await self._operations.join()
        await self._events.drained()

    async def close(self) -> None:
        """Shut down and release the thread, which can be resumed later."""
        if self._worker is not None:
            await self.submit(ops.Shutdown())
            await self._worker
            self._worker = None

    async def at_rest(self, *, runs_first: bool = False) -> None:
        """Wait until no operation or background run can start a turn. `runs_first`: wait for those of earlier turns."""
        if runs_first:
            await self.runs.ended()
        while True:
            await self.idle()
            if self.end is None or self.end.status != "done" or self.runs.quiet:
                return
            await self.runs.ended()

    # --- what interfaces read

    def model(self) -> ModelInfo:
        """Return details of the current model."""
        id, models = self.options.model, self.services.models
        able = models.abilities(id)
        return ModelInfo(id, models.window(id), able.images, able.effort)

    def tools(self) -> list[ToolInfo]:
        """Return the tools of the model."""
        return [tool_info(spec) for _, spec in sorted(self.services.offered(self.options).items())]

    def servers(self) -> Sequence[ServerState]:
        """Return the state of the MCP servers."""
        return self.services.servers.states() if self.services.servers is not None else ()

    def expand_mentions(self, text: str) -> Expanded:
        """Add the files that a message names as @path."""
        no_images = "" if self.model().images is not False else self.options.model
        return expand_mentions(text, Path(self.options.workspace), self.options.add_dirs, no_images)

    def all_threads(self) -> LocalThreads:
        """Return the threads in the same data folder."""
        return LocalThreads(self.services.store, self._events.warn)

    async def judge(self, command: str) -> Verdict:
        """Return the policy's verdict on a shell command, without running it."""
        return await judge_command(command, self.thread_id, self.options, self.services)

    async def set_trace_visibility(self, *, public: bool) -> str:
        """Make the user's dataset of traces public or private. Return its id. Raises MLInternError."""
        settings = load(Path(self.options.workspace)).settings
        return await Traces(self.services.store.home, settings).change_visibility(public=public)

    # --- the worker

    async def _work(self) -> None:
        try:
            while not isinstance(operation := await self._operations.get(), ops.Shutdown):
                await self._perform(operation)
                if self._operations.empty() and not self._queue.paused and not self._waits:
                    self._deliveries.schedule()
                self._operations.task_done()
        finally:
            await self.runs.close()
            await self._files.close()
            self._emit("shutdown", reason="closed")
            await self._end_events()
            await self._held.aclose()

    async def _end_events(self) -> None:
        try:
            await self._events.return_numbers()
        except MLInternError as error:
            log_error(self.services.store.home, self.thread_id, error)
        finally:
            self._events.close()

    async def _perform(self, operation: ops.Operation) -> None:
        self._running = asyncio.ensure_future(self._handlers[type(operation)](operation))
        await asyncio.wait({self._running})
        task, self._running = self._running, None
        try:
            if task.cancelled():
                await self._stopped()
            else:
                task.result()
                self._queue.confirm()
        except MLInternError as error:
            await self._failed(operation, error)
        except Exception as error:  # noqa: BLE001 every error becomes one line, and its traceback goes to the log
            await self._failed(operation, log_error(self.services.store.home, self.thread_id, error))
        await self._end_delivery()

    async def _stopped(self) -> None:
        if self._closing:
            await self.end_snapshots()
            return
        cut_off = await self._turns.close_open("interrupted by the user")
        reason = f"interrupted by the user; may have run in part: {', '.join(cut_off)}" if cut_off else "by the user"
        await self._ended(TurnEnd("interrupted", reason, 130))
        self._emit("interrupted", reason=reason)

    async def _failed(self, operation: ops.Operation, error: MLInternError) -> None:
        if isinstance(operation, ops.ExecApproval):
            self._claim.free()
        self._emit("error", message=error.message, remedy=error.remedy, exit_code=error.exit_code, retry_in_s=None)
        begun = isinstance(
            operation, ops.Settle | ops.Wake | ops.Deliver | ops.ExecApproval | ops.Compact | ops.Continue
        )
        if begun and not isinstance(error, UsageError):
            self._queue.pause()
            await self.end_snapshots()
            turn, iterations = await self._reached()
            self.end = TurnEnd("failed", str(error), error.exit_code, iterations)
            self._emit("turn_complete", turn=turn, status="failed", text=str(error), iterations=iterations)

    # --- the queue of messages

    @property
    def _waits(self) -> bool:
        """Return whether the last turn waits for an approval."""
        return self.end is not None and self.end.status == "waiting"

    async def _enqueue(self, message: ops.UserInput) -> None:
        def busy() -> bool:
            return self._running is not None or self._operations.qsize() > 0

        await self._deliveries.add(message, self.options.workspace, supersedes=self._waits, busy=busy)

    async def _steer(self, op: ops.Steer) -> None:
        added = await examine_input(self._store, self._queue.message(op.id), self.options)
        await self._deliveries.steer(op.id, added, running=lambda: self._running is not None)

    def _end_wait(self) -> None:
        """Record that a pending approval was closed without a turn."""
        if self._waits:
            self.end = None

    async def _message_ids(self) -> set[str]:
        return {message.id or "" for message in await self.messages()}

    async def _end_delivery(self) -> None:
        try:
            await self._deliveries.end(self._message_ids)
        except Exception as error:  # noqa: BLE001 the database may be what failed; the turn's end was reported
            log_error(self.services.store.home, self.thread_id, error)
            self._queue.confirm(())
        self._queue.report()

    def _interrupt(self, operation: ops.Interrupt | ops.Shutdown) -> None:
        if isinstance(operation, ops.Shutdown):
            self._closing = True
        else:
            self._queue.pause()
        if self._running is not None:
            self._running.cancel()
        if self._running is None or self._closing:
            self._operations.put_nowait(operation)

    # --- turns

    async def _run(self, start: Any) -> None:
        self.end = None
        await self.list_running()
        if self.services.servers is not None and await self.services.servers.settled():
            self._greet()
        state = await self._turns.run(start, self.options, self._events.publish)
        await self._complete(turn_end(state))

    async def _continue(self, start: Any) -> None:
        await self.continue_snapshots()
        await self._run(start)

    async def _complete(self, end: TurnEnd) -> None:
        if end.status == "waiting":
            await self._ended(end)
            if (batch := pending_batch(await self._turns.snapshot())) is not None:
                self._claim.free()
                self._emit("approval_required", **approval_fields(batch))
            return
        turn = int((await self._turns.snapshot()).values.get("turn", 0))
        if end.status != "done":
            self._queue.pause()
        await self._ended(end)
        self._emit("turn_complete", turn=turn, status=end.status, text=end.text, iterations=end.iterations)

    async def _ended(self, end: TurnEnd) -> None:
        self.end = end
        await self.end_snapshots()
        await self.list_as(end.status)

    async def _settle(self, _: ops.Settle) -> None:
        snapshot = await self._turns.snapshot()
        self.resume_snapshot(snapshot)
        if snapshot.interrupts:
            await self._complete(TurnEnd("waiting", "approval pending", 3))
        elif is_pending(snapshot):
            await self._continue(None)
        else:
            await self.end_snapshots()

    async def _deliver(self, op: ops.Deliver) -> None:
        if self._closing:
            return
        message = await self._deliveries.take(op, self._message_ids, waits=self._waits)
        if message is None:
            return

        def acknowledge(turn: int) -> None:
            self._queue.confirm()
            self._emit("processing", turn=turn, text=message.text, id=message.id)
            self._queue.report()

        await self.begin_turn(message, acknowledge)
        await self._run(None)

    async def _exec_approval(self, op: ops.ExecApproval) -> None:
        batch, folder = pending_batch(await self._turns.snapshot()), self.options.workspace
        store, thread_id = self.services.store, self.thread_id
        answers = await accept_answers(store, batch, op.decisions, folder=folder, thread_id=thread_id)
        self._emit("approval_answered", by=op.by, device=op.device, answers=answers)
        await self._continue(Command(resume={"decisions": dict(op.decisions)}))

    async def _compact(self, op: ops.Compact) -> None:
        compaction = {"reason": "manual", "keep": op.keep}
        await self._turns.continue_turn(self.options, "the user asked for a compaction", compaction=compaction)
        await self._continue(None)

    async def _reopen(self, _: ops.Continue) -> None:
        snapshot = await self._turns.snapshot()
        if ended_early(snapshot):
            await self._turns.reopen(self.options)
        elif not is_pending(snapshot):
            return
        self._queue.paused = False
        await self._continue(None)

    async def _wake(self, _: ops.Wake) -> None:
        if (woken := await self.runs.begin(self._turns, self.options)) is not None:
            self._emit("processing", turn=woken.turn, text=woken.text, id="")
            await self._continue(None)

    # --- undo, redo, and switching threads

    async def _move(self, op: ops.Undo | ops.Redo) -> None:
        moved = await self.move(op)
        self._end_wait()
        direction = "undo" if isinstance(op, ops.Undo) else "redo"
        self._emit("undo_complete", direction=direction, turns=moved.turns, text=moved.text, notes=moved.notes)

    async def _fork(self, op: ops.Fork) -> None:
        await self._enter(await self._turns.fork(op.turn))

    async def _enter(self, thread: str | None, *, fork: bool = False) -> None:
        """Switch to another thread. The current thread stays open if this fails."""
        store = self.services.store
        row = await store.threads.find(thread) if thread else None
        if row is not None and fork:
            row = await store.threads.get(await self._runner.turns(row.id).fork(None))
        thread_id = row.id if row is not None else str(uuid4())
        if thread_id == self.thread_id:
            return
        turns = self._runner.turns(thread_id)
        async with AsyncExitStack() as taking:
            await taking.enter_async_context(store.hold(thread_id))
            paused = row is not None and bool(ended_early(await turns.snapshot()))
            found = await self._found(turns, row) if row is not None else None
            await self._deliveries.move(store.queue, self.thread_id, thread_id, self.options.workspace)
            queued = await store.queue.list(thread_id)
            await self._events.open(store.event_numbers, thread_id)
            held = taking.pop_all()
        await self._held.aclose()
        held.callback(self.services.scopes.close, thread_id)
        watch = await self.runs.watch(thread_id)
        self._runner.open_scope(thread_id, self._files, watch, self._queue, lambda: self.options.approval_mode)
        self._held, self._turns = held, turns
        self._queue.open(thread_id, queued, paused=paused)
        self._end_wait()
        self._greet()
        if found is not None:
            self._emit("resumed", **found)
            self._operations.put_nowait(ops.Settle())
        self._queue.report()
        await self.runs.start()

    def _greet(self) -> None:
        self._emit("ready", **ready(self.options, self.services, self._files.notes))

    async def _found(self, turns: Turns, row: "ThreadRow") -> dict[str, Any]:
        """Return the fields of `resumed`. Close calls that a dead process left open."""
        pending = pending_kind(await turns.snapshot())
        cut_off = [row.tool for row in await self.services.store.journal.open_calls(turns.thread_id)]
        if not pending:
            await turns.close_open("the process died")
            await ThreadListing(turns, row.folder).correct()
        elsewhere = row.folder if row.folder != self.options.workspace else ""
        found = {"title": row.title, "turns": row.turns, "moved_from": elsewhere}
        return {**found, "pending": pending, "interrupted": cut_off, "ended": ended_early(await turns.snapshot())}

    # --- changing the run

    async def _change(self, **changes: Any) -> None:
        """Change the options from the next run on. Raises ConfigurationError if the model cannot be called."""
        options = replace(self.options, **changes)
        if options.model != self.options.model:
            await self.services.models.check_chosen(options.model)
            await self.services.models.expect_prices(options)
        self.options = replace(self.options, **changes)
        self._greet()

    async def _run_command(self, op: ops.RunCommand) -> None:
        await self._turns.close_open("the user ran a command")
        self._end_wait()
        await self._listing.change()
        await self.continue_snapshots()
        await self._files.settled()
        # The note is written before the command runs, so that the model knows about it even after a crash.
        id, typed = f"{OWN_CALL}{uuid4().hex}", redact(op.command)
        await self._turns.append_note(f"I ran `{typed}`. It was cut off and may have run in part.", typed, id)
        result = await self._runner.run_command(self._turns, op.command, self.options, self._events.publish, id)
        await self._turns.append_note(redact(f"I ran `{op.command}`:\n{result.text}"), typed, id, result.taint)
        await self.end_snapshots()
