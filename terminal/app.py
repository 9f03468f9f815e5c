"""The interactive session: what is typed becomes operations, events become output, and Ctrl-C does what it should."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ml_intern.graph import operations as ops
from ml_intern.terminal.approval import ApprovalDeferred, Asks, Dialogue, NewMessage
from ml_intern.terminal.keys import ctrl_c_is_a_key
from ml_intern.terminal.prompt import GivenWay, Rewind
from ml_intern.terminal.render.summary import one_line
from ml_intern.terminal.slash.rewind import rewind
from ml_intern.terminal.slash.runs import leave_runs
from ml_intern.terminal.slash.table import find_command, nearest
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.events import Event
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.screen import Screen


class Messages(Asks, Protocol):
    """Where messages come from, and the answers to questions."""

    async def message(self, default: str = "") -> str:
        """The next message. Raises KeyboardInterrupt, EOFError, Rewind (Ctrl-C, Ctrl-D, Esc Esc) and GivenWay."""
        ...

    def give_way(self) -> str:
        """End the message that is being typed, with GivenWay, and give what was typed so far."""


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
        self._waiting: Sequence[dict[str, Any]] = ()
        self._failed: Exception | None = None
        self._presses = 0
        self._prompt_ended = asyncio.Event()
        self._prompt_ended.set()
        self._under_way: asyncio.Future[None] | None = None
        self._submission: asyncio.Future[None] | None = None

    @property
    def options(self) -> "RunOptions":
        """The options the next turn runs with."""
        return self.session.options

    async def run(self) -> None:
        """Take messages until the user leaves."""
        consumer = asyncio.create_task(self._consume())
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._on_interrupt)
        try:
            await self.perform(None)
            while not self.leaving:
                await self._next()
            await leave_runs(self)
        finally:
            await self.session.close()
            await consumer

    async def perform(self, operation: ops.Operation | None) -> None:
        """Carry out an operation and answer what it asks; None only waits for what is under way."""
        while True:
            await self._carried_out(operation)
            if not self._waiting or self.leaving:
                return
            operation = await self._answered()
            if operation is None:
                return

    # --- what is typed

    async def _next(self) -> None:
        try:
            line = await self._message()
        except EOFError:
            self.leaving = True
            return
        except GivenWay:
            await self.perform(None)
            return
        except Rewind:
            line = None
        try:
            await (rewind(self, "") if line is None else self.take(line))
        except KeyboardInterrupt:  # at a question of a command
            self.screen.line("nothing was done", "dim")

    async def _message(self) -> str:
        """One message. Ctrl-C twice is EOFError, as Ctrl-D is."""
        default, self._prefill = self._prefill, ""
        self._prompt_ended.clear()
        try:
            with ctrl_c_is_a_key():
                return await self._typed(default)
        finally:
            self._prompt_ended.set()

    async def _typed(self, default: str) -> str:
        try:
            return await self.prompt.message(default)
        except KeyboardInterrupt:
            self.screen.line("Ctrl-C again or Ctrl-D quits", "dim")
        try:
            return await self.prompt.message()
        except KeyboardInterrupt as twice:
            raise EOFError from twice

    async def take(self, line: str) -> None:
        """Do what one line says: a slash command, a shell command, or a message."""
        command, argument, name = find_command(line)
        if command:
            await command.run(self, argument)
        elif name:
            hint = f"; did you mean {near}?" if (near := nearest(name)) else "; /help lists them"
            self.screen.line(f"there is no command {name}{hint}", "red")
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

    # --- operations and what they ask

    async def _carried_out(self, operation: ops.Operation | None) -> None:
        self._waiting, self._presses = (), 0
        if operation is not None:
            await self.session.submit(operation)
        self._under_way = asyncio.ensure_future(self.session.idle())
        await asyncio.wait({self._under_way})
        self._under_way = None
        self.screen.stop()
        if self._failed:
            raise self._failed

    async def _answered(self) -> ops.Operation | None:
        """The answer to what waits; None when the user left it waiting."""
        dialogue = Dialogue(self.screen, self.prompt, Path(self.options.workspace))
        try:
            return ops.ExecApproval(await dialogue.decide(self._waiting))
        except KeyboardInterrupt:
            return ops.Interrupt()
        except NewMessage as message:
            return self._input(str(message))
        except ApprovalDeferred:
            self.screen.line("left waiting; resuming the thread asks again", "dim")
            self.leaving = True
            return None

    def _on_interrupt(self) -> None:
        """Ctrl-C interrupts what is under way; a second one leaves. At the prompt it is a key and does not get here."""
        if self._under_way is None:
            return
        self._presses += 1
        if self._presses == 1:
            self._submission = asyncio.ensure_future(self.session.submit(ops.Interrupt()))
        else:
            self.leaving = True
            self._under_way.cancel()

    # --- events

    async def _consume(self) -> None:
        """Show every event. An error in showing one is saved for `perform`: the session must not stall on it."""
        async for event in self.session.events():
            try:
                await self._take_event(event)
            except Exception as error:  # noqa: BLE001 - raised again by perform
                self._failed = self._failed or error

    async def _take_event(self, event: "Event") -> None:
        if event.type == "processing" and not self._prompt_ended.is_set():  # a run ended and woke the model
            self._prefill = self.prompt.give_way()
            await self._prompt_ended.wait()
        self.screen.show(event)
        if event.type == "ready":
            self.tools = tuple(event.data["tools"])
            self._greet(event.data)
        elif event.type == "resumed":
            await self._show_last_exchange()
        elif event.type == "approval_required":
            self._waiting = event.data["requests"]
        elif event.type == "undo_complete":
            self._moved(event.data)
        elif event.type == "turn_complete" and self.options.approval_mode == "plan":
            self.screen.line("planning: /plan accept carries the plan out, a message changes it", "dim")

    def _greet(self, data: dict[str, Any]) -> None:
        """The head of the session, once; and what was not noted before, such as a server that failed meanwhile."""
        if not self._greeted:
            self.screen.line(f"ml-intern {data['version']}  {data['model']}  approval: {data['approval_mode']}", "bold")
            self.screen.line(f"{data['cwd']}  (/help shows the commands)", "dim")
        self._greeted = True
        for note in data["notes"]:
            if note not in self._noted:
                self.screen.line(f"note: {note}", "yellow")
        self._noted.update(data["notes"])

    def _moved(self, data: dict[str, Any]) -> None:
        what = "undone" if data["direction"] == "undo" else "restored"
        if data["turns"]:
            self.screen.line(f"{what}: {plural(data['turns'], 'turn')}, from {one_line(data['text'], 60)!r}", "dim")
        for note in data["notes"]:
            self.screen.line(note, "dim")
        if data["direction"] == "undo" and data["turns"]:
            self._prefill = self._as_typed(data["text"])

    def _as_typed(self, text: str) -> str:
        """The message as it was typed here, without its files; else what is known of it."""
        typed = (line for line in reversed(self._sent) if line.startswith(text) or text.startswith(line))
        return next(typed, text)

    async def _show_last_exchange(self) -> None:
        """The end of the conversation, so that one knows where one is."""
        messages = await self.session.history()
        asked = next((one for one in reversed(messages) if one.role in ("user", "note")), None)
        answered = next(
            (message for message in reversed(messages) if message.role == "assistant" and message.text), None
        )
        if asked:
            self.screen.line(f"> {one_line(asked.text, 200)}", "dim")
        if answered:
            self.screen.markdown(answered.text)
