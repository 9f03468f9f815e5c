"""Build a ToolCall from a call in the conversation, and the context to judge and run it in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages import ToolCall as MessageCall

from ml_intern.execution.call import ToolCall
from ml_intern.execution.run import judge
from ml_intern.execution.tool import Services, ToolContext
from ml_intern.graph.context import RunOptions, sandbox_name
from ml_intern.graph.events import Emit
from ml_intern.graph.state import AgentState, typed_text
from ml_intern.safety.policy import Verdict
from ml_intern.safety.rules import SHELL_TOOL


def tool_call(call: MessageCall, message: AIMessage, args: Mapping[str, Any] | None = None) -> ToolCall:
    """Return a message's call as a ToolCall, with `args` instead of its arguments when the user edited them."""
    index = next(i for i, one in enumerate(message.tool_calls) if one["id"] == call["id"])
    return ToolCall(
        name=call["name"],
        args=call["args"] if args is None else args,
        id=call["id"] or "",
        message_id=message.id or "",
        index=index,
    )


def tool_context(
    state: AgentState, thread_id: str, options: RunOptions, services: Services, emit: Emit, *, approved: bool = False
) -> ToolContext:
    """Return the context for this thread's tools."""
    return ToolContext(
        thread_id=thread_id,
        root_id=options.root or thread_id,
        workspace=Path(options.workspace),
        add_dirs=tuple(Path(folder) for folder in options.add_dirs),
        options=options,
        services=services,
        emit=emit,
        approved=approved,
        messages=state.get("messages") or (),
        file_reads=state.get("file_reads") or {},
        taint=tuple(state.get("taint") or ()),
        collection=state.get("collection") or "",
        sandbox_profile=sandbox_name(options),
        user_text=options.user_text if options.child else typed_text(state.get("messages") or ()),
    )


async def judge_command(command: str, thread_id: str, options: RunOptions, services: Services) -> Verdict:
    """Return the policy verdict on a shell command in this thread."""
    call = ToolCall(name=SHELL_TOOL, args={"command": command}, id="", message_id="", index=0)
    return await judge(call, tool_context({}, thread_id, options, services, silent))


def silent(type: str, /, **data: Any) -> None:
    """Discard an event; an Emit for judging a call without running it."""
