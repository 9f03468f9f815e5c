"""The terminal of a session, as the rest of it sees it: the screen of display/, or the lines of lines/."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from prompt_toolkit.completion import Completer

    from ml_intern.configs.settings import TerminalSettings
    from ml_intern.terminal.display.signals import Signals
    from ml_intern.terminal.display.view_host import View
    from ml_intern.terminal.input.history import LateHistory
    from ml_intern.terminal.state import Transcript
    from ml_intern.terminal.theme import Theme


class LineReader(Protocol):
    """Asks questions that are answered with one line."""

    async def line(self, question: str, default: str = "") -> str | None:
        """Return the answer; None for Ctrl-D. Raises KeyboardInterrupt for Ctrl-C."""

    def suspended(self) -> AbstractAsyncContextManager[None]:
        """Give the terminal to another program within this block."""
        ...


class SessionTerminal(Protocol):
    """Shows the transcript, reads the user's lines, and asks questions."""

    transcript: "Transcript"
    status: "Callable[[int, Theme], str]"
    """Returns the status line for a width."""
    waiting: Callable[[], list[str]]
    """Returns the lines that wait for the running turn."""
    resting: Callable[[], bool]
    """Returns whether the next line is read now."""
    signals: "Signals"
    given_away: bool
    """Whether another program has the terminal: Ctrl-C is meant for that."""

    @property
    def history(self) -> "LateHistory":
        """The lines that the user entered."""
        ...

    @property
    def asking(self) -> bool:
        """Whether a question waits for its answer."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Show and read within this block."""
        ...

    def suspended(self) -> AbstractAsyncContextManager[None]:
        """Give the terminal to another program within this block."""
        ...

    def configure(self, settings: "TerminalSettings", folder: "Path") -> None:
        """Obey the settings of a session in this folder."""

    def use_theme(self, setting: str) -> None:
        """Use the theme that the settings name."""

    def complete_with(self, completer: "Completer") -> None:
        """Complete what is typed."""

    async def line(
        self, question: str, default: str = "", *, hidden: bool = False, recorded: bool = True
    ) -> str | None:
        """Ask for one line; None for Ctrl-D. Raises KeyboardInterrupt for Ctrl-C."""

    async def choose(
        self, view: "View", load: Callable[[Any], Awaitable[Any]] | None = None, *, at_once: bool = False
    ) -> object:
        """Ask with a list and return its outcome. `load` returns the preview of an item.

        `at_once`: the user pressed a key for it, so that it does not wait until the keys pause.
        """

    def dismiss(self, outcome: object) -> None:
        """End the list that is shown with this outcome."""

    def interrupted(self) -> bool:
        """Take Ctrl-C. Return False if it is meant for the running turn."""
        ...

    async def page(self, text: str) -> None:
        """Show a whole text."""

    def fill(self, text: str) -> None:
        """Put a text into the input line, unless the user is typing another."""

    def restore_draft(self, folder: "Path", workspace: "Path") -> None:
        """Put the text that a session in this workspace left unsent into the input line, and save what is typed."""

    def replace(self, text: str) -> None:
        """Put a text into the input line. What was there becomes an earlier message."""

    def hint(self, text: str) -> None:
        """Show a short message for a moment."""

    def clear(self) -> None:
        """Clear the view. The scrollback keeps what was there."""

    def changed(self) -> None:
        """Show what changed."""

    def send(self, sequence: str) -> bool:
        """Send a sequence that does not change the screen. Return whether the terminal takes any."""
        ...
