"""The prompt of an interactive session, with multi-line input, history and completion; and single-line questions."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.patch_stdout import patch_stdout

from ml_intern.safety.secrets.redaction import redact
from ml_intern.terminal.keys import forget_keys

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.key_binding import KeyPressEvent


class LineReader(Protocol):
    """Asks questions that are answered with one line."""

    async def line(self, question: str, default: str = "") -> str | None:
        """Return the answer; None for Ctrl-D. Raises KeyboardInterrupt for Ctrl-C."""


class RewindRequested(Exception):
    """Esc Esc was pressed: the user wants to rewind."""


class InputAborted(Exception):
    """The input was ended by the program, because a turn began on its own."""


class PrivateHistory(FileHistory):
    """A history file that only its owner can read (0600). Secrets are redacted."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        path.chmod(0o600)
        super().__init__(str(path))

    def store_string(self, string: str) -> None:
        """Append one entry."""
        super().store_string(redact(string))


class Prompt:
    """Reads messages and answers. `history` is the file of earlier messages; None: in memory only."""

    def __init__(self, history: Path | None, completer: "Completer", toolbar: Callable[[], str]) -> None:
        earlier: History = PrivateHistory(history) if history else InMemoryHistory()
        self._messages: PromptSession[str] = PromptSession(
            history=earlier,
            completer=completer,
            complete_while_typing=False,
            multiline=True,
            prompt_continuation="  ",
            key_bindings=_bindings(),
            bottom_toolbar=toolbar,
            enable_open_in_editor=False,
        )

    async def message(self, default: str = "") -> str:
        """Read one message.

        Raises KeyboardInterrupt for Ctrl-C, EOFError for Ctrl-D, RewindRequested for Esc Esc, or InputAborted.
        """
        with patch_stdout(raw=True):
            return await self._messages.prompt_async("> ", default=default, handle_sigint=False)

    def abort_input(self) -> str:
        """Make the running `message` raise InputAborted. Return the text typed so far."""
        typed, app = self._messages.default_buffer.text, self._messages.app
        if app.is_running and not app.is_done:
            app.exit(exception=InputAborted())
        return typed

    async def line(self, question: str, default: str = "") -> str | None:
        """Ask a question and return the answer; None for Ctrl-D. Keys typed before the question are discarded.

        Raises KeyboardInterrupt for Ctrl-C.
        """
        forget_keys()
        asked: PromptSession[str] = PromptSession(history=InMemoryHistory())
        try:
            return await asked.prompt_async(question, default=default, handle_sigint=False)
        except EOFError:
            return None


def _bindings() -> KeyBindings:
    keys = KeyBindings()

    def bind(sequence: Iterable[str], action: "Callable[[KeyPressEvent], None]") -> None:
        keys.add(*sequence)(action)

    def rewind(event: "KeyPressEvent") -> None:
        event.app.exit(exception=RewindRequested())

    bind(["enter"], lambda event: event.current_buffer.validate_and_handle())
    bind(["c-j"], lambda event: event.current_buffer.insert_text("\n"))
    bind(["c-c"], _clear_or_interrupt)
    bind(["escape", "escape"], rewind)
    return keys


def _clear_or_interrupt(event: "KeyPressEvent") -> None:
    if event.current_buffer.text:
        event.current_buffer.reset()
    else:
        event.app.exit(exception=KeyboardInterrupt())
