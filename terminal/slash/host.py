"""The interface of the application to slash commands."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.operations import Operation
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.display.view_host import View
    from ml_intern.terminal.input.reader import LineReader, SessionTerminal
    from ml_intern.terminal.state import Transcript


class Host(Protocol):
    """The application: its session, its screen and its prompt."""

    doctor: Callable[[], Awaitable[list[str]]]
    """Return the lines of `ml-intern doctor`."""
    leaving: bool
    """Set it to end the application."""

    @property
    def session(self) -> "Session":
        """The open session."""
        ...

    @property
    def screen(self) -> "Transcript":
        """The output."""
        ...

    @property
    def console(self) -> "SessionTerminal":
        """The terminal."""
        ...

    @property
    def prompt(self) -> "LineReader":
        """The prompt for questions."""
        ...

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools the model has."""
        ...

    async def choose(self, view: "View", load: "Callable[[Any], Awaitable[Any]] | None" = None) -> object:
        """Ask with a list and return its outcome. `load` returns the preview of an item."""
        ...

    def clear_view(self) -> None:
        """Clear the screen, but not the scrollback."""

    @property
    def options(self) -> "RunOptions":
        """The options the next turn runs with."""
        ...

    async def send(self, operation: "Operation") -> None:
        """Give an operation to the session without waiting for it. An error is shown."""

    def send_now(self, text: str) -> None:
        """Send a message, or with "" the next one that waits, to the running turn before its next model call."""

    async def perform(self, operation: "Operation | None") -> None:
        """Run an operation and answer its approval requests. None waits for the operation that is running."""
        ...
