"""The messages that the user sends to the running turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from langchain_core.messages import HumanMessage


@dataclass(frozen=True)
class Steered:
    """A message for the running turn."""

    message: "HumanMessage"
    sources: tuple[str, ...]
    """The sources of the untrusted text in it."""
    file_reads: Mapping[str, str]
    """Path -> digest of the files that were added to it."""


class Inbox(Protocol):
    """Hands the messages to the model's node."""

    def take_steered(self) -> Sequence[Steered]:
        """Take the messages. Each is saved in the queue until a checkpoint contains it."""
        ...
