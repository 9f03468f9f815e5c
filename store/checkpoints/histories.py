"""A cache of the writes from which delta channels are rebuilt, so that a thread's history is read from disk once.

The writes of a checkpoint with a child never change. A checkpoint that is saved again is removed from the cache first.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite

from ml_intern.store.checkpoints.rows import ThreadNamespace

MAX_STEPS = 100_000
NO_VALUE: Any = object()
"""Marks a channel without a value in a checkpoint."""


@dataclass(frozen=True)
class HistoryStep:
    """A checkpoint's part in the history of one channel."""

    parent: str | None
    writes: Sequence[PendingWrite]
    """The writes made at the checkpoint, in the order in which LangGraph applies them."""
    value: Any = NO_VALUE
    """The channel's full value if the checkpoint contains it; earlier steps are then irrelevant."""


class Histories:
    """The cached steps of channels. Use it only on the database's thread."""

    def __init__(self) -> None:
        self._steps: dict[tuple[ThreadNamespace, str], dict[str, HistoryStep]] = {}
        self._count = 0

    def has_step(self, namespace: ThreadNamespace, channel: str, id: str) -> bool:
        """Return whether the step of a checkpoint is cached."""
        return id in self._steps.get((namespace, channel), {})

    def evict_if_full(self) -> None:
        """Clear the cache if it is too large. Do not call it between `find_gap` and `history`."""
        if self._count > MAX_STEPS:
            self._steps.clear()
            self._count = 0

    def remember(self, namespace: ThreadNamespace, channel: str, id: str, step: HistoryStep) -> None:
        """Cache a step."""
        self._steps.setdefault((namespace, channel), {})[id] = step
        self._count += 1

    def forget(self, namespace: ThreadNamespace, id: str) -> None:
        """Remove a checkpoint from the cache, because it or its writes are about to change."""
        for (owner, _), steps in self._steps.items():
            if owner == namespace and steps.pop(id, None) is not None:
                self._count -= 1

    def forget_thread(self, thread_id: str) -> None:
        """Remove a thread from the cache."""
        for key in [key for key in self._steps if key[0].thread_id == thread_id]:
            self._count -= len(self._steps.pop(key))

    def find_gap(self, namespace: ThreadNamespace, channel: str, start: str, parent: str | None) -> str | None:
        """Return the first ancestor of `start` whose step is needed but not cached, or None."""
        for id, step in self._walk(namespace, channel, start, parent):
            if step is None:
                return id
        return None

    def history(self, namespace: ThreadNamespace, channel: str, start: str, parent: str | None) -> DeltaChannelHistory:
        """Return the channel's nearest value among the ancestors of `start` and the later writes.

        Raises KeyError if a step is not cached.
        """
        steps: list[HistoryStep] = []
        for id, step in self._walk(namespace, channel, start, parent):
            if step is None:
                raise KeyError(id)  # an incomplete history would drop the beginning of the conversation
            steps.append(step)
        history: DeltaChannelHistory = {"writes": [write for step in reversed(steps) for write in step.writes]}
        if steps and steps[-1].value is not NO_VALUE:
            history["seed"] = _copy_value(steps[-1].value)
        return history

    def _walk(
        self, namespace: ThreadNamespace, channel: str, start: str, parent: str | None
    ) -> Iterator[tuple[str, HistoryStep | None]]:
        """Yield the ancestors of `start`, latest first, up to one with a value or the first that is not cached."""
        steps = self._steps.get((namespace, channel), {})
        seen = {start}
        while parent is not None and parent not in seen:
            seen.add(parent)
            step = steps.get(parent)
            yield parent, step
            if step is None or step.value is not NO_VALUE:
                return
            parent = step.parent


def _copy_value(value: Any) -> Any:
    """Return a copy that may be changed, to protect the cache. Snapshots wrap their value in a named tuple."""
    return value._make(map(copy.copy, value)) if hasattr(value, "_make") else copy.copy(value)
