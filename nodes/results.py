"""What nodes share: the thread they run in, and the results of calls that do not run."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langgraph.runtime import Runtime

from ml_intern.graph.events import Emit
from ml_intern.graph.state import result_message


def thread_of(runtime: Runtime[Any]) -> str:
    """The id of the thread a node runs in."""
    info = runtime.execution_info
    if info is None or info.thread_id is None:
        raise RuntimeError("the graph runs only with a checkpointer and a thread id")
    return info.thread_id


def unrun(calls: Sequence[ToolCall], message: AIMessage, text: str, status: str, emit: Emit) -> list[AnyMessage]:
    """Answer calls that do not run, and say so to whoever watches."""
    for call in calls:
        emit(
            "tool_output",
            id=call["id"],
            name=call["name"],
            text=text,
            ok=False,
            status=status,
            seconds=0.0,
            artifact=None,
        )
    return [result_message(call, message, text, ok=False) for call in calls]


UNANSWERED = "No result was recorded: the call was cut off and may have run in part. Check before you repeat it."


def repair(messages: Sequence[AnyMessage]) -> list[AnyMessage] | None:
    """The conversation with missing results put right after their call and orphan results left out; None if sound."""
    return None if _is_sound(messages) else _repaired(messages)


def _is_sound(messages: Sequence[AnyMessage]) -> bool:
    """Asked before every request, of all of it: so by types' names, which are read faster than types are compared."""
    waiting: set[str] = set()
    for message in messages:
        if message.type == "tool":
            if message.tool_call_id not in waiting:
                return False
            waiting.remove(message.tool_call_id)
        elif waiting:
            return False
        elif message.type == "ai" and message.tool_calls:
            waiting = {call["id"] for call in message.tool_calls if call["id"]}
    return not waiting


def _repaired(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
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
    return repaired


def _calls(message: AnyMessage) -> dict[str, AIMessage]:
    if not isinstance(message, AIMessage):
        return {}
    return {call["id"]: message for call in message.tool_calls if call["id"]}


def _unanswered(waiting: dict[str, AIMessage]) -> list[AnyMessage]:
    return [
        ToolMessage(UNANSWERED, tool_call_id=call_id, id=f"{message.id}:{call_id}", status="error")
        for call_id, message in waiting.items()
    ]
