"""The user messages that a checkpoint delivers to the conversation, so that they leave the queue with it."""

from collections.abc import Iterable
from typing import Any

from langchain_core.messages import HumanMessage


def user_messages(values: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    """Return the ids of the user messages in values of channels. Overwrites and snapshots contain the written value."""
    written = [getattr(value, "value", value) for channel, value in values if channel == "messages"]
    messages = [one for value in written for one in (value if isinstance(value, list) else [value])]
    return tuple(one.id for one in messages if isinstance(one, HumanMessage) and one.id)
