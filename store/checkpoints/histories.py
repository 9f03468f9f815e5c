"""What is remembered of the writes that channels are rebuilt from: a thread's past is read from the disk once.

What was written at a checkpoint that has a child is never changed; a checkpoint put again is forgotten here first.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite

from ml_intern.store.checkpoints.rows import ThreadNamespace

MAX_STEPS = 100_000
NOTHING: Any = object()
"""Stands for the value of a channel that a checkpoint does not hold."""


@dataclass(frozen=True)
class Step:
    """A checkpoint's part in the history of one channel."""

    parent: str | None
    writes: Sequence[PendingWrite]
    """Those made at it, in the order in which LangGraph applies them."""
    value: Any = NOTHING
    """The channel's whole value, where the checkpoint holds it: no step before it matters."""


class Histories:
    """The steps of the channels that were asked for. Used on the database's thread alone."""

    def __init__(self) -> None:
        self._steps: dict[tuple[ThreadNamespace, str], dict[str, Step]] = {}
        self._count = 0

    def knows(self, lane: ThreadNamespace, channel: str, id: str) -> bool:
        """Whether the step of a checkpoint is remembered."""
        return id in self._steps.get((lane, channel), {})

    def make_room(self) -> None:
        """Forget everything when it has become too much; never between a look for gaps and the history."""
        if self._count > MAX_STEPS:
            self._steps.clear()
            self._count = 0

    def remember(self, lane: ThreadNamespace, channel: str, id: str, step: Step) -> None:
        """Remember a step."""
        self._steps.setdefault((lane, channel), {})[id] = step
        self._count += 1

    def forget(self, lane: ThreadNamespace, id: str) -> None:
        """Forget a checkpoint: it, or what was written at it, is about to change."""
        for (of, _), steps in self._steps.items():
            if of == lane and steps.pop(id, None) is not None:
                self._count -= 1

    def forget_thread(self, thread_id: str) -> None:
        """Forget all of a thread."""
        for key in [key for key in self._steps if key[0].thread_id == thread_id]:
            self._count -= len(self._steps.pop(key))

    def gap(self, lane: ThreadNamespace, channel: str, start: str, parent: str | None) -> str | None:
        """The first ancestor of `start` whose step is needed and not remembered; None when all are."""
        for id, step in self._walk(lane, channel, start, parent):
            if step is None:
                return id
        return None

    def history(self, lane: ThreadNamespace, channel: str, start: str, parent: str | None) -> DeltaChannelHistory:
        """The channel's nearest value among the ancestors of `start`, and the writes since. KeyError for a gap."""
        steps: list[Step] = []
        for id, step in self._walk(lane, channel, start, parent):
            if step is None:
                raise KeyError(id)  # a shorter history would read as a conversation that lost its beginning
            steps.append(step)
        history: DeltaChannelHistory = {"writes": [write for step in reversed(steps) for write in step.writes]}
        if steps and steps[-1].value is not NOTHING:
            history["seed"] = _own(steps[-1].value)
        return history

    def _walk(
        self, lane: ThreadNamespace, channel: str, start: str, parent: str | None
    ) -> Iterator[tuple[str, Step | None]]:
        """The ancestors of `start`, newest first, up to the one that holds the value, or the first unknown one."""
        steps = self._steps.get((lane, channel), {})
        seen = {start}
        while parent is not None and parent not in seen:
            seen.add(parent)
            step = steps.get(parent)
            yield parent, step
            if step is None or step.value is not NOTHING:
                return
            parent = step.parent


def _own(value: Any) -> Any:
    """A copy to change at will: what is remembered must stay as it is. Snapshots hold their value in a named tuple."""
    return value._make(map(copy.copy, value)) if hasattr(value, "_make") else copy.copy(value)
