"""What nodes share: the thread they run in, and the results of calls that do not run."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolCall
from langgraph.runtime import Runtime

from graph.events import Emit
from graph.state import result_message


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
