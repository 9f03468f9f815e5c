"""Checkpoint ids grow, whatever the clock does: the newest checkpoint of a thread is the one with the greatest id."""

from langgraph.checkpoint.base import id as ids

_TIMED = 6
"""The version of the UUIDs that LangGraph gives checkpoints."""


def continue_after(checkpoint_id: str) -> None:
    """Make the ids that come next in this process greater than this one, though the clock was set back since.

    LangGraph sees to that within a process only.
    """
    newest = ids.UUID(checkpoint_id)
    if newest.version == _TIMED:
        ids._last_v6_timestamp = max(ids._last_v6_timestamp or 0, newest.time)  # type: ignore[assignment]
