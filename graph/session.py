"""AgentSession: operations in, events out. The one front door for every interface and test."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from langgraph.types import Command

from configs.errors import MLInternError, UsageError
from graph import operations as ops
from graph.context import RunOptions, Services
from graph.events import Event, emitter
from graph.runner import Runner, TurnEnd, is_pending, waiting_batch
from graph.turns import Turns
from safety.fault_log import log_fault
from safety.redaction import admit
from tools.registry import offered

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from graph.state import PlanStep
    from models.gateway import Models
    from store.ledger import Totals
    from store.store import Store
    from store.threads import ThreadRow, ThreadState
    from tools.base import ToolSpec

TITLE_LENGTH = 60
STATES: "dict[str, ThreadState]" = {"waiting": "waiting", "interrupted": "interrupted"}


class Settle:
    """Internal operation after a thread was opened: ask again what waits, go on with what was cut off."""


class AgentSession:
    """One thread, held by this process. `submit` operations and read `events`.

    Every turn ends with exactly one of turn_complete, approval_required or interrupted; `end` then says how.
    """

    def __init__(self, services: Services, runner: Runner) -> None:
        self.services = services
        self.options = services.defaults
        self.end: TurnEnd | None = None
        self._runner = runner
        self._turns = Turns(runner.app, services, "")
        self._operations: asyncio.Queue[ops.Operation | Settle] = asyncio.Queue()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._sequence = 0
        self._held = AsyncExitStack()
        self._worker: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._closing = False
        self._emit = emitter(self._publish)
        self._handlers: dict[type, Callable[[Any], Awaitable[None]]] = {
            Settle: self._settle,
            ops.UserInput: self._user_input,
            ops.ExecApproval: self._exec_approval,
            ops.Interrupt: self._interrupt,
            ops.Compact: self._compact,
            ops.Undo: self._undo,
            ops.Redo: self._redo,
            ops.Fork: self._fork,
            ops.Rename: self._rename,
            ops.SetModel: lambda op: self._change(model=op.model),
            ops.SetEffort: lambda op: self._change(effort=op.level),
            ops.SetMode: lambda op: self._change(approval_mode=op.mode),
            ops.RunCommand: self._run_command,
            ops.New: self._new,
            ops.Resume: self._resume,
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
            UsageError: no such thread, or more than one.
            ThreadLocked: another process holds it.
        """
        services = Services(models=models, tools=tools, store=store, defaults=options)
        models.route(options.model)
        session = cls(services, await Runner.create(services))
        await session._enter(thread, fork=fork)
        session._worker = asyncio.create_task(session._work())
        return session

    @property
    def thread_id(self) -> str:
        """The id of the thread the session is in."""
        return self._turns.thread_id

    async def submit(self, operation: ops.Operation) -> None:
        """Hand in an operation. Interrupt and Shutdown act at once, the others one after the other."""
        if isinstance(operation, ops.Shutdown):
            self._closing = True
        if isinstance(operation, ops.Interrupt | ops.Shutdown) and self._running is not None:
            self._running.cancel()
            if isinstance(operation, ops.Interrupt):
                return
        await self._operations.put(operation)

    async def events(self) -> AsyncIterator[Event]:
        """The events as they happen; ends after `shutdown`."""
        while (event := await self._events.get()) is not None:
            yield event
            self._events.task_done()

    async def idle(self) -> None:
        """Wait until every operation was carried out and every event of it was taken from `events`."""
        await self._operations.join()
        await self._events.join()

    async def close(self) -> None:
        """Shut down and let go of the thread; it stays resumable."""
        if self._worker is not None:
            await self.submit(ops.Shutdown())
            await self._worker
            self._worker = None

    async def history(self) -> "list[AnyMessage]":
        """The conversation as it stands."""
        messages: list[AnyMessage] = (await self._turns.snapshot()).values.get("messages", [])
        return messages

    async def plan(self) -> "list[PlanStep]":
        """The plan as it stands."""
        steps: list[PlanStep] = (await self._turns.snapshot()).values.get("plan", [])
        return steps

    async def totals(self) -> "Totals":
        """What the thread and its sub-agents have used so far."""
        return await self.services.store.ledger.total(self.thread_id)

    # --- the worker

    async def _work(self) -> None:
        try:
            while not isinstance(operation := await self._operations.get(), ops.Shutdown):
                await self._perform(operation)
                self._operations.task_done()
        finally:
            await self._held.aclose()
            self._emit("shutdown", reason="closed")
            self._events.put_nowait(None)

    async def _perform(self, operation: "ops.Operation | Settle") -> None:
        self._running = asyncio.ensure_future(self._handlers[type(operation)](operation))
        await asyncio.wait({self._running})
        task, self._running = self._running, None
        try:
            if task.cancelled():
                await self._stopped()
            else:
                task.result()
        except MLInternError as error:
            self._fault(operation, error)
        except Exception as error:  # noqa: BLE001 whatever it is becomes one line, its traceback goes to the log
            self._fault(operation, log_fault(self.services.store.home, self.thread_id, error))

    async def _stopped(self) -> None:
        if self._closing:
            return
        cut_off = await self._turns.close_open("interrupted by the user")
        reason = f"interrupted by the user; may have run in part: {', '.join(cut_off)}" if cut_off else "by the user"
        await self._ended(TurnEnd("interrupted", reason, 130))
        self._emit("interrupted", reason=reason)

    def _fault(self, operation: "ops.Operation | Settle", error: MLInternError) -> None:
        self._emit("error", message=error.message, remedy=error.remedy, exit_code=error.exit_code, retry_in_s=None)
        begun = isinstance(operation, Settle | ops.UserInput | ops.ExecApproval | ops.Compact)
        if begun and not isinstance(error, UsageError):
            self.end = TurnEnd("failed", str(error), error.exit_code)
            self._emit("turn_complete", turn=0, status="failed", text=str(error), iterations=0)

    def _publish(self, event: Mapping[str, Any]) -> None:
        self._sequence += 1
        self._events.put_nowait(Event(event["type"], self.thread_id, self._sequence, time.time(), event["data"]))

    # --- turns

    async def _run(self, start: Any) -> None:
        await self._thread_row(state="running")
        end = await self._runner.run(self._turns, start, self.options, self._publish)
        await self._complete(end)

    async def _complete(self, end: TurnEnd) -> None:
        if end.status == "waiting":
            await self._ended(end)
            await self._ask_again()
            return
        turn = int((await self._turns.snapshot()).values.get("turn", 0))
        await self._ended(end)
        self._emit("turn_complete", turn=turn, status=end.status, text=end.text, iterations=end.iterations)

    async def _ended(self, end: TurnEnd) -> None:
        self.end = end
        cost = (await self.totals()).cost_usd
        await self._thread_row(state=STATES.get(end.status, "idle"), cost_usd=cost)

    async def _ask_again(self) -> None:
        batch = waiting_batch(await self._turns.snapshot())
        if batch is not None:
            shown = ("id", "name", "args", "description")
            requests = [{key: request[key] for key in shown} for request in batch["action_requests"]]
            self._emit("approval_required", requests=requests, configs=batch["review_configs"], since=batch["since"])

    async def _thread_row(self, **changes: Any) -> "ThreadRow":
        threads = self.services.store.threads
        if await threads.get(self.thread_id) is None:
            await threads.create(id=self.thread_id, folder=self.options.workspace)
        return await threads.update(self.thread_id, **changes)

    async def _settle(self, _: Settle) -> None:
        snapshot = await self._turns.snapshot()
        if snapshot.interrupts:
            await self._complete(TurnEnd("waiting", "waits for an approval", 3))
        elif is_pending(snapshot):
            await self._run(None)

    async def _user_input(self, op: ops.UserInput) -> None:
        self.end = None
        text = admit(op.text)
        row = await self._thread_row(state="running")
        number = await self._turns.begin(text, self.options)
        title = row.title or " ".join(text.split())[:TITLE_LENGTH]
        await self._thread_row(title=title, turns=number, redo=())
        self._emit("processing", turn=number, text=text)
        await self._run(None)

    async def _exec_approval(self, op: ops.ExecApproval) -> None:
        snapshot = await self._turns.snapshot()
        batch = waiting_batch(snapshot)
        asked = {request["id"] for request in batch["action_requests"]} if batch else set[str]()
        if not asked:
            raise UsageError("nothing waits for an approval in this thread", "it was answered, or the turn has ended")
        if unknown := set(op.decisions) - asked:
            raise UsageError(
                f"no such request: {', '.join(sorted(unknown))}", f"waiting are {', '.join(sorted(asked))}"
            )
        await self._run(Command(resume={"decisions": dict(op.decisions)}))

    async def _interrupt(self, _: ops.Interrupt) -> None:
        await self._stopped()

    async def _compact(self, op: ops.Compact) -> None:
        await self._turns.begin_compaction(op.keep, self.options)
        await self._run(None)

    # --- moving in and between threads

    async def _undo(self, op: ops.Undo) -> None:
        await self._turns.close_open("taken back by the user")
        count, text = await self._turns.undo(op.turns)
        await self._moved("undo", count, text)

    async def _redo(self, _: ops.Redo) -> None:
        await self._moved("redo", 1, await self._turns.redo())

    async def _moved(self, direction: str, turns: int, text: str) -> None:
        number = int((await self._turns.snapshot()).values.get("turn", 0))
        await self._thread_row(turns=number, state="idle")
        notes = ["files on disk, jobs, pushes and messages stay as they are"] if direction == "undo" else []
        self._emit("undo_complete", direction=direction, turns=turns, text=text, notes=notes)

    async def _fork(self, op: ops.Fork) -> None:
        await self._enter(await self._turns.fork(op.turn))

    async def _rename(self, op: ops.Rename) -> None:
        await self._thread_row(title=op.title.strip())

    async def _new(self, _: ops.New) -> None:
        await self._enter(None)

    async def _resume(self, op: ops.Resume) -> None:
        await self._enter(op.thread)

    async def _enter(self, thread: str | None, *, fork: bool = False) -> None:
        """Let go of the thread at hand and take another one; on failure the one at hand stays."""
        store = self.services.store
        row = await store.threads.find(thread) if thread else None
        if row is not None and fork:
            row = await store.threads.get(await Turns(self._runner.app, self.services, row.id).fork(None))
        thread_id = row.id if row is not None else str(uuid4())
        if thread_id == self.thread_id:
            return
        held = AsyncExitStack()
        await held.enter_async_context(store.hold(thread_id))
        await self._held.aclose()
        self._held = held
        self._turns = replace(self._turns, thread_id=thread_id)
        self._greet()
        if row is not None:
            await self._greet_again(row.title, row.turns)
            self._operations.put_nowait(Settle())

    def _greet(self) -> None:
        options = self.options
        self._emit(
            "ready",
            model=options.model,
            tools=sorted(offered(self.services.tools, options)),
            version=version("ml-intern"),
            cwd=options.workspace,
            approval_mode=options.approval_mode,
            sandbox="none",
            max_iterations=options.max_iterations,
            max_budget_usd=options.max_budget_usd,
            notes=list(options.notes),
        )

    async def _greet_again(self, title: str, turns: int) -> None:
        snapshot = await self._turns.snapshot()
        cut_off = [row.tool for row in await self.services.store.journal.open(self.thread_id)]
        pending = "approval" if snapshot.interrupts else "work" if is_pending(snapshot) else ""
        self._emit("resumed", title=title, turns=turns, pending=pending, interrupted=cut_off)

    # --- changing the run

    async def _change(self, **changes: Any) -> None:
        """Other options from the next run on. Raises what the model's route raises."""
        options = replace(self.options, **changes)
        self.services.models.route(options.model)
        self.options = options
        self._greet()

    async def _run_command(self, op: ops.RunCommand) -> None:
        await self._turns.close_open("the user ran a command")
        await self._thread_row()
        output = await self._runner.run_command(self._turns, op.command, self.options, self._publish)
        await self._turns.append_note(admit(f"I ran `{op.command}`:\n{output}"))
