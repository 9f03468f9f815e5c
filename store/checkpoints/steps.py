"""Knowledge about the steps of a running turn that the checkpointers of both databases share."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable


@runtime_checkable
class KnowsNewCheckpoints(Protocol):
    """A checkpointer that knows which checkpoint the present run saved last."""

    def is_new(self, thread_id: str, id: str) -> bool:
        """Return whether the present run saved a checkpoint last, and no task has asked or failed since."""
        ...


def starts_a_step(channels: Iterable[str]) -> bool:
    """Return whether one of the channels with a value makes LangGraph run a node."""
    return any(channel.startswith("branch:to:") for channel in channels)
