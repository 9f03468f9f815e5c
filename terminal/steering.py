"""The lines that the user enters. During a turn, the session saves messages and sends them later; others wait here."""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

from ml_intern.graph import operations as ops
from ml_intern.terminal.input.queue import WaitingLines

if TYPE_CHECKING:
    from ml_intern.terminal.session_events import SessionEvents
    from ml_intern.terminal.slash.host import Host
    from ml_intern.terminal.slash.table import SlashCommand


class LineClient(Protocol):
    """The application, as far as entered lines concern it."""

    @property
    def working(self) -> bool:
        """Whether something runs."""
        ...

    @property
    def accepting(self) -> bool:
        """Whether a line is taken at once: a session is open and idle, and asks nothing."""
        ...

    @property
    def events(self) -> "SessionEvents | None":
        """The events of the open session."""
        ...

    def message(self, text: str) -> ops.UserInput:
        """Return a line as a message, with the files that it mentions."""
        ...

    async def send(self, operation: ops.Operation) -> None:
        """Give an operation to the session without waiting for it."""

    def in_background(self, work: "Awaitable[None]") -> None:
        """Do something without waiting for it."""

    def wake(self) -> None:
        """Take the next line, if it may be taken."""


class Steering:
    """The lines that the user entered and that have not begun."""

    def __init__(self, app: LineClient) -> None:
        self._app = app
        self.lines = WaitingLines()

    def submit(self, text: str, host: "Host") -> None:
        """Take a line that the user entered."""
        working = self._app.working
        if not text.strip():
            self._continue_turn()
        elif working and (command := immediate(text)):
            self._app.in_background(command.run(host, text.strip().partition(" ")[2].strip()))
        elif working and not len(self.lines) and is_message(text):
            self._app.in_background(self._queue(text))
        else:
            self.lines.add(text)
            self._app.wake()

    def _continue_turn(self) -> None:
        if self._app.events and self._app.events.unfinished:
            self.lines.first("")
            self._app.wake()

    async def _queue(self, text: str, *, steer: bool = False) -> None:
        """Give a message to the session, which saves it and sends it in its turn; with `steer` to the running one."""
        message = self._app.message(text)
        await self._app.send(message)
        if steer:
            await self._app.send(ops.Steer(message.id))

    def send_now(self, text: str) -> None:
        """Send a line, or with "" the next one that waits, before those that wait."""
        queued = self._queued
        if text.strip() and self._app.working and is_message(text):
            self._app.in_background(self._queue(text, steer=True))
        elif text.strip():
            self.lines.first(text)
        elif queued:
            self._app.in_background(self._app.send(ops.Steer(next(iter(queued)))))
        else:
            self.lines.paused = False
        self._app.wake()

    def take_back(self) -> str | None:
        """Return the last line that waits, and forget it."""
        queued = self._queued
        if len(self.lines) or not queued:
            return self.lines.take_back()
        id, text = queued.popitem()
        self._app.in_background(self._app.send(ops.Unqueue(id)))
        return text

    def waiting(self) -> list[str]:
        """Return a row for each line that waits; none for one that is taken at once."""
        taken = self._app.accepting and not self.lines.paused
        queued = self._app.events.waiting() if self._app.events else []
        return queued + ([] if taken else [f"queued: {line.text}" for line in self.lines.lines if line.text])

    @property
    def paused(self) -> bool:
        """Whether what waits is not taken until the user enters a message."""
        events = self._app.events
        return self.lines.paused or (events is not None and events.queue_paused)

    @property
    def _queued(self) -> dict[str, str]:
        return self._app.events.queued if self._app.events else {}


def is_message(line: str) -> bool:
    """Return whether a line goes to the model: it is neither a slash command nor a shell command."""
    from ml_intern.terminal.slash.table import LEAVING, find_command

    return not (find_command(line)[2] or line.startswith("!") or line.strip().lower() in LEAVING)


def immediate(line: str) -> "SlashCommand | None":
    """Return the slash command of a line if it acts during a turn, instead of waiting for its end."""
    from ml_intern.terminal.slash.table import find_command

    command = find_command(line)[0]
    return command if command is not None and command.immediate else None
