"""The calls a transcript knows: their arguments, the changes that were asked about, and the results shown already."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_intern.terminal.render.summary import CallNames

if TYPE_CHECKING:
    from ml_intern.outbound.conversation import Message
    from ml_intern.terminal.blocks.diff import DiffLine


class KnownCalls(CallNames):
    """Remembers calls by id. An id may be used again in a later reply."""

    def __init__(self) -> None:
        super().__init__()
        self._replayed = set[str]()
        self._proposed: dict[str, Sequence[DiffLine]] = {}

    def replayed(self, messages: "Sequence[Message]") -> None:
        """Remember the calls of a conversation, and that its messages and results were shown."""
        for message in messages:
            self._replayed |= {message.id, message.call_id}
            for call in message.calls:
                self.note(call.id, call.args)

    def was_replayed(self, id: str) -> bool:
        """Return whether the message or the result with this id was shown already."""
        return bool(id) and id in self._replayed

    def announced(self, calls: Sequence[Mapping[str, Any]], *, is_new: bool) -> None:
        """Remember the calls of a reply. Those of a new one have no result yet."""
        for call in calls:
            self.note(call["id"], call["args"])
            if is_new:
                self._replayed.discard(call["id"])

    def propose(self, id: str, lines: "Sequence[DiffLine]") -> None:
        """Remember the change that a call would make."""
        self._proposed[id] = lines

    def take_proposed(self, id: str) -> "tuple[DiffLine, ...]":
        """Return the change that a call would have made, and forget it."""
        return tuple(self._proposed.pop(id, ()))
