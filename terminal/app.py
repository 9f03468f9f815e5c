"""The interactive session: turns input into operations, shows events, and handles Ctrl-C."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ml_intern.graph import operations as ops
from ml_intern.terminal.approval import ApprovalDeferred, Dialogue, NewMessage
from ml_intern.terminal.keys import ctrl_c_is_a_key
from ml_intern.terminal.prompt import InputAborted, LineReader, RewindRequested
from ml_intern.terminal.render.summary import one_line
from ml_intern.terminal.slash.rewind import rewind
from ml_intern.terminal.slash.runs import leave_runs
from ml_intern.terminal.slash.table import LEAVING, find_command, nearest
from ml_intern.text.formatting import plural, spent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.events import Event
    from ml_intern.session.protocol import Session, Totals
    from ml_intern.terminal.screen import Screen


class Messages(LineReader, Protocol):
    """Reads messages, and answers to questions."""

    async def message(self, default: str = "") -> str:
        """Return the next message.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            EOFError: Ctrl-D.
            RewindRequested: Esc Esc.
            InputAborted: `abort_input` was called.
        """
        ...

    def abort_input(self) -> str:
        """Make the running `message` raise InputAborted. Return the text typed so far."""


class App:
    """One interactive session. `run` returns when the user leaves."""

    def __init__(
        self, session: "Session", screen: "Screen", prompt: Messages, doctor: "Callable[[], Awaitable[list[str]]]"
    ) -> None:
        self.session = session
        self.screen = screen
        self.prompt = prompt
        self.doctor = doctor
        self.leaving = False
        self.tools: tuple[str, ...] = ()
        self._greeted = False
        self._noted = set[str]()
        self._prefill = ""
        self._sent: list[str] = []
        self._requests: Sequence[dict[str, Any]] = ()
        self._failed: Exception | None = None
        self._spent: Totals | None = None
        """The totals when the session was last idle."""
        self._spent_before: Totals | None = None
        """The totals before the current turn."""
        self._presses = 0
        self._prompt_ended = asyncio.Event()
        self._prompt_ended.set()
        self._running: asyncio.Future[None] | None = None
        self._submission: asyncio.Future[None] | None = None

    @property
    def options(self) -> "RunOptions":
        """The options the next turn runs with."""
        return self.session.options

    async def run(self) -> None:
        """Process messages until the user leaves."""
        consumer = asyncio.create_task(self._consume())
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._on_interrupt)
        try:
            await self._count_spending()
            await self.perform(None)
            while not self.leaving:
                await self._next()
            await leave_runs(self)
        finally:
            await self.session.close()
            await consumer

    async def perform(self, operation: ops.Operation | None) -> None:
        """Run an operation and answer its approval requests. None waits for the operation that is running."""
        while True:
            await self._run_operation(operation)
            if not self._requests or self.leaving:
                return
            operation = await self._answer_requests()
            if operation is None:
                return

    # --- input

    async def _next(self) -> None:
        try:
            line = await self._message()
        except EOFError:
            self.leaving = True
            return
        except InputAborted:
            await self.perform(None)
            return
        except RewindRequested:
            line = None
        try:
            await (rewind(self, "") if line is None else self.take(line))
        except KeyboardInterrupt:  # Ctrl-C at a question that a slash command asks
            self.screen.line("cancelled", "dim")

    async def _message(self) -> str:
        """Read one message. Raises EOFError for Ctrl-D and for Ctrl-C pressed twice."""
        default, self._prefill = self._prefill, ""
        await self._count_spending()
        self._prompt_ended.clear()
        try:
            with ctrl_c_is_a_key():
                return await self._read_message(default)
        finally:
            self._prompt_ended.set()

    async def _read_message(self, default: str) -> str:
        try:
            return await self.prompt.message(default)
        except KeyboardInterrupt:
            self.screen.line("press Ctrl-C again, or Ctrl-D, to quit", "dim")
        try:
            return await self.prompt.message()
        except KeyboardInterrupt as twice:
            raise EOFError from twice

    async def take(self, line: str) -> None:
        """Process one line: a slash command, a shell command, or a message."""
        command, argument, name = find_command(f"/{line.strip()}" if line.strip().lower() in LEAVING else line)
        if command:
            await command.run(self, argument)
        elif name:
            hint = f"did you mean {near}?" if (near := nearest(name)) else "/help lists the commands"
            self.screen.line(f"unknown command {name}; {hint}", "red")
        elif line.startswith("!") and line[1:].strip():
            await self.perform(ops.RunCommand(line[1:].strip()))
        elif line.strip():
            await self.perform(self._input(line))

    def _input(self, text: str) -> ops.UserInput:
        expanded = self.session.expand_mentions(text)
        for note in expanded.notes:
            self.screen.line(note, "dim")
        self._sent.append(text)
        return ops.UserInput(expanded.text, typed=text, images=expanded.images, sources=expanded.sources)

    # --- operations and their approval requests

    async def _run_operation(self, operation: ops.Operation | None) -> None:
        self._requests, self._presses = (), 0
        if operation is not None:
            await self.session.submit(operation)
        self._running = asyncio.ensure_future(self.session.idle())
        await asyncio.wait({self._running})
        self._running = None
        self.screen.stop()
        if self._failed:
            raise self._failed

    async def _answer_requests(self) -> ops.Operation | None:
        """Ask about the pending requests and return the operation that answers them; None when the user left."""
        dialogue = Dialogue(self.screen, self.prompt, Path(self.options.workspace))
        try:
            return ops.ExecApproval(await dialogue.decide(self._requests))
        except KeyboardInterrupt:
            return ops.Interrupt()
        except NewMessage as message:
            return self._input(str(message))
        except ApprovalDeferred:
            self.screen.line("not answered; you are asked again when you resume the thread", "dim")
            self.leaving = True
            return None

    def _on_interrupt(self) -> None:
        """Interrupt the running operation; quit at the second Ctrl-C. At the prompt Ctrl-C is a key, not a signal."""
        if self._running is None:
            return
        self._presses += 1
        if self._presses == 1:
            self._submission = asyncio.ensure_future(self.session.submit(ops.Interrupt()))
        else:
            self.leaving = True
            self._running.cancel()

    # --- events

    async def _consume(self) -> None:
        """Show every event. An error while showing one is saved for `perform`, so that the session does not stall."""
        async for event in self.session.events():
            try:
                await self._take_event(event)
            except Exception as error:  # noqa: BLE001 - raised again by _run_operation
                self._failed = self._failed or error

    async def _take_event(self, event: "Event") -> None:
        if event.type == "processing" and not self._prompt_ended.is_set():  # a run ended and woke the model
            self._prefill = self.prompt.abort_input()
            await self._prompt_ended.wait()
        await self._follow_spending(event.type)
        self.screen.show(event)
        if event.type == "ready":
            self.tools = tuple(event.data["tools"])
            self._greet(event.data)
        elif event.type == "resumed":
            await self._show_last_exchange()
        elif event.type == "approval_required":
            self._requests = event.data["requests"]
        elif event.type == "undo_complete":
            self._show_undo(event.data)
        elif event.type == "turn_complete" and self.options.approval_mode == "plan":
            self.screen.line("plan mode: type /plan accept to carry out the plan, or a message to change it", "dim")

    async def _follow_spending(self, event: str) -> None:
        """Count before and after each turn, so that its cost is what the ledger gained."""
        if event == "processing":
            self._spent_before = self._spent
        elif event == "turn_complete":
            await self._count_spending()

    async def _count_spending(self) -> None:
        """Read from the ledger what the thread and its latest turn have cost."""
        total = self._spent = await self.session.totals()
        turn = total.since(self._spent_before) if self._spent_before else total
        self.screen.spent = spent(total.cost_usd, total.unpriced_requests)
        self.screen.turn_cost = spent(turn.cost_usd, turn.unpriced_requests)

    def _greet(self, data: dict[str, Any]) -> None:
        """Print the session's header once, and notes that were not shown before, such as a server that failed."""
        if not self._greeted:
            self.screen.line(f"ml-intern {data['version']}  {data['model']}  approval: {data['approval_mode']}", "bold")
            self.screen.line(f"{data['cwd']}  (/help shows the commands)", "dim")
        self._greeted = True
        for note in data["notes"]:
            if note not in self._noted:
                self.screen.line(f"note: {note}", "yellow")
        self._noted.update(data["notes"])

    def _show_undo(self, data: dict[str, Any]) -> None:
        what = "undone" if data["direction"] == "undo" else "restored"
        if data["turns"]:
            self.screen.line(f"{what}: {plural(data['turns'], 'turn')}, from {one_line(data['text'], 60)!r}", "dim")
        for note in data["notes"]:
            self.screen.line(note, "dim")
        if data["direction"] == "undo" and data["turns"]:
            self._prefill = self._as_typed(data["text"])

    def _as_typed(self, text: str) -> str:
        """Return the message as it was typed in this session, without the text of mentioned files; else `text`."""
        typed = (line for line in reversed(self._sent) if line.startswith(text) or text.startswith(line))
        return next(typed, text)

    async def _show_last_exchange(self) -> None:
        """Show the last message and the last answer of a resumed thread."""
        messages = await self.session.history()
        asked = next((one for one in reversed(messages) if one.role == "user"), None)
        answered = next(
            (message for message in reversed(messages) if message.role == "assistant" and message.text), None
        )
        if asked:
            self.screen.line(f"> {one_line(asked.text, 200)}", "dim")
        if answered:
            self.screen.markdown(answered.text)
