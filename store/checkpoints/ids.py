"""The ids of checkpoints, which LangGraph makes from the clock."""

from langgraph.checkpoint.base import id as ids

_UUID_VERSION = 6
"""The version of the UUIDs that LangGraph uses for checkpoints."""


def ensure_later_ids(checkpoint_id: str) -> None:
    """Ensure that new checkpoint ids in this process are greater than this one, even if the clock was set back.

    LangGraph ensures it only for ids created in the same process.
    """
    latest = ids.UUID(checkpoint_id)
    if latest.version == _UUID_VERSION:
        ids._last_v6_timestamp = max(ids._last_v6_timestamp or 0, latest.time)  # type: ignore[assignment]
