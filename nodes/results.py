"""Functions shared by the nodes: the id of their thread, the results of calls that do not run, and repair."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langgraph.runtime import Runtime

from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.state import result_message


def thread_of(runtime: Runtime[Any]) -> str:
    """Return the id of the thread in which a node runs."""
    info = runtime.execution_info
    if info is None or info.thread_id is None:
        raise RuntimeError("the graph requires a checkpointer and a thread id")
    return info.thread_id


def options_of(runtime: Runtime[RunOptions], services: Services) -> RunOptions:
    """Return the options of the run, with the approval mode in force now."""
    return services.in_current_mode(runtime.context or services.defaults, thread_of(runtime))


def results_not_run(
    calls: Sequence[ToolCall], message: AIMessage, text: str, status: str, emit: Emit
) -> list[AnyMessage]:
    """Return results for calls that do not run, and emit their tool_output events."""
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


UNANSWERED = "No result was recorded: the call was interrupted and may have run in part. Check before you repeat it."


def repair(messages: Sequence[AnyMessage]) -> list[AnyMessage] | None:
    """Add missing results after their calls and drop results without a call. Return None if nothing is missing."""
    return None if _is_complete(messages) else _repaired(messages)


def _is_complete(messages: Sequence[AnyMessage]) -> bool:
    """Return whether every call has its result. Types are compared by name, which is faster on long conversations."""
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
