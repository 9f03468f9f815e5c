"""What a slash command needs of the application it is typed in."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ml_intern.graph.context import RunOptions
    from ml_intern.graph.operations import Operation
    from ml_intern.session.protocol import Session
    from ml_intern.terminal.approval import Asks
    from ml_intern.terminal.screen import Screen


class Host(Protocol):
    """The application: its session, its screen, and a way to ask."""

    session: "Session"
    doctor: Callable[[], Awaitable[list[str]]]
    """The lines of `ml-intern doctor`."""
    leaving: bool
    """Set it to end the application."""
    tools: tuple[str, ...]
    """Names of the tools the model has."""

    @property
    def screen(self) -> "Screen":
        """Where a command writes."""
        ...

    @property
    def prompt(self) -> "Asks":
        """Where a command asks."""
        ...

    @property
    def options(self) -> "RunOptions":
        """The options the next turn runs with."""
        ...

    async def perform(self, operation: "Operation | None") -> None:
        """Carry out an operation and answer what it asks; None only waits for what is under way."""
        ...
