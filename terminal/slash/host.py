"""The interface of the application to slash commands."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.operations import Operation
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.prompt import LineReader
    from ml_intern.terminal.screen import Screen


class Host(Protocol):
    """The application: its session, its screen and its prompt."""

    session: "Session"
    doctor: Callable[[], Awaitable[list[str]]]
    """Return the lines of `ml-intern doctor`."""
    leaving: bool
    """Set it to end the application."""
    tools: tuple[str, ...]
    """Names of the tools the model has."""

    @property
    def screen(self) -> "Screen":
        """The output."""
        ...

    @property
    def prompt(self) -> "LineReader":
        """The prompt for questions."""
        ...

    @property
    def options(self) -> "RunOptions":
        """The options the next turn runs with."""
        ...

    async def perform(self, operation: "Operation | None") -> None:
        """Run an operation and answer its approval requests. None waits for the operation that is running."""
        ...
