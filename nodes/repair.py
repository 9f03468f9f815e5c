"""Keep a conversation one that every provider accepts: each call followed by exactly one result."""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

UNANSWERED = "No result was recorded: the call was cut off and may have run in part. Check before you repeat it."


def repair(messages: Sequence[AnyMessage]) -> list[AnyMessage] | None:
    """The conversation with missing results put right after their call and orphan results left out; None if sound."""
    repaired: list[AnyMessage] = []
    waiting: dict[str, AIMessage] = {}
    for message in messages:
        if isinstance(message, ToolMessage):
            if waiting.pop(message.tool_call_id, None) is not None:
                repaired.append(message)
            continue
        repaired.extend(_unanswered(waiting))
        waiting = _calls(message)
        repaired.append(message)
    repaired.extend(_unanswered(waiting))
    return None if len(repaired) == len(messages) and _same(repaired, messages) else repaired


def _calls(message: AnyMessage) -> dict[str, AIMessage]:
    if not isinstance(message, AIMessage):
        return {}
    return {call["id"]: message for call in message.tool_calls if call["id"]}


def _unanswered(waiting: dict[str, AIMessage]) -> list[AnyMessage]:
    return [
        ToolMessage(UNANSWERED, tool_call_id=call_id, id=f"{message.id}:{call_id}", status="error")
        for call_id, message in waiting.items()
    ]


def _same(left: Sequence[AnyMessage], right: Sequence[AnyMessage]) -> bool:
    return all(one is other for one, other in zip(left, right, strict=True))
