"""A program that leads through a session: it sends the first message and watches the answers."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session


class Guide(Protocol):
    """Leads through one session."""

    task: str
    """The first message."""
    one_turn: bool
    """Whether the session ends after it."""

    async def approved(self, session: "Session") -> str:
        """Take note that the user approved a call; return a line to show, or ""."""
        ...

    def ended(self, session: "Session") -> None:
        """Take note of the end of the session."""
