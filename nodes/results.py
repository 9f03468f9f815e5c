"""Functions shared by the nodes: the id of their thread, the results of calls that do not run, and repair."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langgraph.runtime import Runtime

from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit, emitter
from ml_intern.graph.state import Accumulated, result_message


def thread_of(runtime: Runtime[Any]) -> str:
    """Return the id of the thread in which a node runs."""
    info = runtime.execution_info
    if info is None or info.thread_id is None:
        raise RuntimeError("the graph requires a checkpointer and a thread id")
    return info.thread_id


def options_of(runtime: Runtime[RunOptions], services: Services) -> RunOptions:
    """Return the options of the run, with the approval mode in force now."""
    return services.in_current_mode(runtime.context or services.defaults, thread_of(runtime))


def emit_of(runtime: Runtime[Any], services: Services) -> Emit:
    """Return the Emit of a run: straight to the session that runs it, otherwise to LangGraph's stream."""
    return emitter(services.listeners.get(thread_of(runtime)) or runtime.stream_writer)


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
            images=[],
        )
    return [result_message(call, message, text, ok=False) for call in calls]


UNANSWERED = "No result was recorded: the call was interrupted and may have run in part. Check before you repeat it."


def repair(messages: Sequence[AnyMessage]) -> list[AnyMessage] | None:
    """Add missing results after their calls and drop results without a call. Return None if nothing is missing."""
    return None if _is_complete(messages) else _repaired(messages)


def _is_complete(messages: Sequence[AnyMessage]) -> bool:
    """Return whether every call has its result, right after it."""
    return _waiting_calls(messages) == frozenset()


def _waiting_after(waiting: frozenset[str] | None, message: AnyMessage) -> frozenset[str] | None:
    """Return the calls without a result after one more message; None if a result is missing or has no call."""
    if waiting is None:
        return None
    if message.type == "tool":
        return waiting - {message.tool_call_id} if message.tool_call_id in waiting else None
    if waiting:
        return None
    return _call_ids(message)


def _call_ids(message: AnyMessage) -> frozenset[str]:
    calls = message.tool_calls if message.type == "ai" else ()
    return frozenset(call["id"] for call in calls if call["id"])


_waiting_calls: Accumulated[frozenset[str] | None] = Accumulated(frozenset(), _waiting_after)


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
