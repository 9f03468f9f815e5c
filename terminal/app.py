"""The interactive session: turns input into operations, answers approval requests, and leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.errors import MLInternError
from ml_intern.graph import operations as ops
from ml_intern.terminal.browse import choose_earlier, read_outputs
from ml_intern.terminal.display.console import Console
from ml_intern.terminal.display.paint import theme_for_terminal
from ml_intern.terminal.modes import ModeSwitch
from ml_intern.terminal.session_events import SessionEvents
from ml_intern.terminal.state import Transcript
from ml_intern.terminal.steering import Steering
from ml_intern.text.clients import answered_from

if TYPE_CHECKING:
    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.operations import Decision
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.display.frame import Resizing
    from ml_intern.terminal.display.view_host import View
    from ml_intern.terminal.guide import Guide
    from ml_intern.terminal.input.reader import LineReader, SessionTerminal
    from ml_intern.terminal.theme import Theme

ANSWERED = object()
"""The outcome of an approval that another client answered."""


class App:
    """One interactive session. The screen stands from the start; `run` begins when a session is open."""

    def __init__(self, *, verbose: bool = False, resizing: "Resizing" = "wraps", plain: bool = False) -> None:
        theme = theme_for_terminal("none" if plain else "auto")
        self.screen = Transcript(theme, verbose=verbose, medium="lines" if plain else "screen")
        self.console: SessionTerminal = self._console(resizing=resizing, plain=plain)
        self.prompt: LineReader = self.console
        self._guide: Guide | None = None
        self.leaving = False
        self.doctor: Callable[[], Awaitable[list[str]]]
        self._session: Session | None = None
        self.events: SessionEvents | None = None
        self._main = asyncio.current_task()
        self._entered = Steering(self)
        self._woken = asyncio.Event()
        self._busy = False
        self._turn_began = False
        self._modes = ModeSwitch()
        self._answered_from = ""
        self._rewinds = False
        self._reading = 0
        """The number of lists that the user opened to read."""
        self._presses = 0
        self._idle: asyncio.Future[None] | None = None
        self._tasks = set[asyncio.Task[None]]()
        self.console.waiting = self._entered.waiting
        self.console.status = self._status
        self.console.resting = self._rests

    def _console(self, *, resizing: "Resizing", plain: bool) -> "SessionTerminal":
        if plain:
            from ml_intern.terminal.lines.console import LineConsole

            return LineConsole(self.screen, self)
        return Console(self.screen, self, resizing=resizing)

    def _rests(self) -> bool:
        return self._session is not None and not (self._busy or self.leaving or len(self._entered.lines))

    @property
    def session(self) -> "Session":
        """The open session."""
        if self._session is None:
            raise RuntimeError("no session is open")
        return self._session

    @property
    def options(self) -> "RunOptions":
        """The options the next turn runs with."""
        return self.session.options

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools the model has."""
        return self.events.tools if self.events else ()

    async def run(
        self,
        session: "Session",
        doctor: Callable[[], Awaitable[list[str]]],
        first: str = "",
        guide: "Guide | None" = None,
    ) -> bool:
        """Process lines until the user leaves. Return whether a question was asked then.

        `first` is the first message, if it is not typed here.
        """
        from ml_intern.terminal.slash.runs import leave_runs

        self._session, self.doctor, self._guide = session, doctor, guide
        events = self.events = SessionEvents(session, self.screen, self, self.console.signals, self.console.fill)
        consumer = asyncio.create_task(events.consume())
        consumer.add_done_callback(lambda _: self._events_ended())
        watcher = asyncio.create_task(events.watch_runs())
        try:
            await events.count_spending()
            await self.perform(None)
            if first.strip() and not self.leaving:
                await self.perform(self.message(first))
                self.leaving |= guide is not None and guide.one_turn
            while True:
                while not self.leaving:
                    await self._next()
                asked = await leave_runs(self)
                if self.leaving:
                    return asked
        finally:
            if guide:
                guide.ended(session)
            watcher.cancel()
            await session.close()
            await consumer

    async def perform(self, operation: ops.Operation | None) -> None:
        """Run an operation and answer its approval requests. None waits for the operation that is running."""
        while True:
            await self._run_operation(operation)
            if not self._following.requests or self.leaving:
                return
            operation = await self._answer_requests()
            if self.leaving:
                return

    # --- lines

    async def _next(self) -> None:
        """Take the next line, or follow a turn that began by itself."""
        if self._turn_began:
            await self.perform(None)
        elif self._rewinds:
            self._rewinds = False
            await self._cancellable(self._rewind_turns())
        elif (line := self._entered.lines.take()) is not None:
            await self._cancellable(self.take(line))
        else:
            await self._woken.wait()
        self._woken.clear()

    async def _cancellable(self, command: Awaitable[None]) -> None:
        try:
            await command
        except KeyboardInterrupt:  # Ctrl-C at a question that a slash command asks
            self.screen.line("cancelled", "dim")

    async def _rewind_turns(self) -> None:
        from ml_intern.terminal.slash.rewind import rewind

        await rewind(self)

    async def choose(self, view: "View", load: "Callable[[Any], Awaitable[Any]] | None" = None) -> object:
        """Ask with a list and return its outcome. `load` returns the preview of an item."""
        return await self.console.choose(view, load)

    async def take(self, line: str) -> None:
        """Process one line: a slash command, a shell command, or a message."""
        from ml_intern.terminal.slash.table import LEAVING, find_command, nearest

        command, argument, name = find_command(f"/{line.strip()}" if line.strip().lower() in LEAVING else line)
        if name or command or line.startswith("!"):
            self.screen.said(line)
        if command:
            await command.run(self, argument)
        elif name:
            hint = f"did you mean {near}?" if (near := nearest(name)) else "/help lists the commands"
            self.screen.line(f"unknown command {name}; {hint}", "failure")
        elif line.startswith("!") and line[1:].strip():
            await self.perform(ops.RunCommand(line[1:].strip()))
        elif line.strip():
            await self.perform(self.message(line))
        elif self._following.unfinished:
            self._following.continued()
            await self.perform(ops.Continue())

    def message(self, text: str) -> ops.UserInput:
        """Return a line as a message, with the files that it mentions."""
        expanded = self.session.expand_mentions(text)
        for note in expanded.notes:
            self.screen.line(note, "dim")
        self.screen.attached(expanded.images)
        message = ops.UserInput(expanded.text, typed=text, images=expanded.images, sources=expanded.sources)
        self._following.expect(message.id, text)
        return message

    # --- operations and their approval requests

    @property
    def _following(self) -> SessionEvents:
        if self.events is None:
            raise RuntimeError("no session is open")
        return self.events

    async def _run_operation(self, operation: ops.Operation | None) -> None:
        self._presses, self._busy = 0, True
        self.console.signals.state("working")
        if operation is not None:
            self._following.requests = ()
            await self.send(operation)
        self._idle = asyncio.ensure_future(self.session.idle())
        try:
            await asyncio.wait({self._idle})
            if not self._idle.cancelled():
                self._idle.result()
        finally:
            self._idle, self._busy, self._turn_began = None, False, False
            self.screen.rest()
            self.console.signals.state("ready")
        await self._following.count_spending()
        if self._following.failed:
            raise self._following.failed

    async def _answer_requests(self) -> ops.Operation | None:
        """Ask about the pending requests and return the operation that answers them, if there is one."""
        from ml_intern.terminal.approval import Approvals
        from ml_intern.terminal.views.approval import Decided, Deferred, NewMessage

        self.console.signals.question(self._following.requests)
        asked = Approvals(
            self.console,
            self._following.requests,
            Path(self.options.workspace),
            read_outputs=self._read_outputs,
            waits=lambda: bool(self._following.requests),
        )
        outcome = await asked.outcome()
        match outcome:
            case Decided(decisions):
                await self._tell_guide(decisions)
                return ops.ExecApproval(decisions, by="terminal")
            case NewMessage(text):
                return self.message(text)
            case Deferred():
                self.screen.line("not answered; you are asked again when you resume the thread", "dim")
                self.leaving = True
                return None
        if outcome is None or outcome is ANSWERED:
            self.screen.line(f"answered {self._answered_from}", "dim")
            return None
        asked.show_unanswered()
        self._entered.lines.pause()
        return ops.Interrupt()

    async def _tell_guide(self, decisions: "Mapping[str, Decision]") -> None:
        approved = any(decision["type"] == "approve" for decision in decisions.values())
        if self._guide and approved and (note := await self._guide.approved(self.session)):
            self.screen.line(note, "dim")

    def clear_view(self) -> None:
        """Clear the screen, but not the scrollback."""
        self.console.clear()

    def turn_began(self) -> None:
        """Follow a turn that began."""
        self._turn_began = True
        self.wake()

    def options_changed(self) -> None:
        """Show the options of the session, from which the next Shift-Tab starts."""
        self._modes.reported()
        self.console.changed()

    def answered(self, by: str, device: str = "") -> None:
        """Ask no longer: a client answered the approval."""
        self._answered_from = "from another terminal" if by == "terminal" else answered_from(by, device)
        self.console.dismiss(ANSWERED)

    def _events_ended(self) -> None:
        """Leave: the session is closed, or the process that ran it has ended."""
        self.answered("no one: the session has ended")
        self.leave()

    # --- keys

    @property
    def working(self) -> bool:
        """Whether something runs that Esc interrupts."""
        return self._busy

    @property
    def accepting(self) -> bool:
        """Whether a line is taken at once."""
        return self._session is not None and not self._busy and not self.console.asking

    def submit(self, text: str) -> None:
        """Take a line that the user entered."""
        self._entered.submit(text, self)

    async def send(self, operation: ops.Operation) -> None:
        """Give an operation to the session without waiting for it. An error is shown."""
        try:
            await self.session.submit(operation)
        except MLInternError as error:
            self.screen.line(str(error), "failure")

    def send_now(self, text: str) -> None:
        """Send a line, or with "" the next one that waits, before those that wait."""
        self._entered.send_now(text)

    def take_back(self) -> str | None:
        """Return the last line that waits, and forget it."""
        return self._entered.take_back()

    def interrupt(self) -> None:
        """Interrupt what runs; when pressed again before it has ended, leave."""
        if self._idle is None:
            return
        self._presses += 1
        self._entered.lines.pause()
        if self._presses == 1:
            self.in_background(self.send(ops.Interrupt()))
        else:
            self.leaving = True
            self._idle.cancel()

    def on_sigint(self) -> None:
        """Interrupt what runs, unless another program has the terminal."""
        if not self.console.given_away and not self.console.interrupted():
            self.interrupt()

    def wake(self) -> None:
        """Take the next line, if it may be taken."""
        self._woken.set()

    def rewind(self) -> None:
        """Let the user choose a turn to go back to."""
        self._rewinds = True
        self.wake()

    def leave(self) -> None:
        """End the session, or the start of one."""
        self.leaving = True
        if self._session is None and self._main is not None:
            self._main.cancel()
        if self._idle is not None:
            self._idle.cancel()
        self.wake()

    def next_mode(self) -> None:
        """Switch to the next approval mode. It applies from the next call on."""
        if self._session is not None:
            self.in_background(self._modes.switch(self, working=self._busy))

    def open_pager(self) -> None:
        """Show whole outputs."""
        if self._session is not None:
            self.in_background(self._read_outputs())

    async def _read_outputs(self) -> None:
        await self._read(read_outputs(self.console, self.session, self._following.requests))

    def open_history(self) -> None:
        """Let the user choose an earlier message."""
        self.in_background(self._read(choose_earlier(self.console)))

    async def _read(self, shown: "Awaitable[None]") -> None:
        self._reading += 1
        try:
            await shown
        finally:
            self._reading -= 1

    def toggle_plan(self) -> None:
        """Fold or unfold the plan."""
        self.console.hint("plan folded" if self.screen.toggle_plan() else "plan unfolded")

    def toggle_reasoning(self) -> None:
        """Show or hide the reasoning while it streams."""
        self.console.hint("reasoning is shown" if self.screen.toggle_reasoning() else "reasoning is hidden")

    def in_background(self, work: "Awaitable[None]") -> None:
        """Do something without waiting for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _status(self, width: int, theme: "Theme") -> str:
        if self.events is None:
            return theme.paint("dim", "starting")
        asks = self.events.requests or (self.console.asking and not self._reading)
        state = "waiting for you" if asks else "working" if self._busy else "ready"
        continues = state == "ready" and self.events.unfinished
        if self._entered.paused:
            how = "Enter continues the turn" if continues else "enter a message to continue"
            state = f"{state}  queue paused: {how}"
        elif continues:
            state = f"{state}  Enter continues the turn"
        costs = (self.screen.turn_cost, self.screen.spent)
        model, mode, queued = self.options.model, self.options.approval_mode, len(self._entered.waiting())
        status = self.events.facts.status(model=model, mode=mode, costs=costs, queued=queued)
        return f"{theme.paint('dim', state)}  {status.row(max(width - len(state) - 2, 1), theme)}"
