"""Where the loop goes before a model call; used by START, doom_check, approval_interrupt and execute_tools."""

from typing import Literal

from langchain_core.messages import AIMessage

from ml_intern.graph.state import AgentState, estimate_tokens


def before_model(state: AgentState) -> Literal["compact", "call_model"]:
    """Compact first when it was asked for or the conversation is over its limit."""
    if state.get("compaction"):
        return "compact"
    limit = state.get("context_limit", 0)
    return "compact" if limit and context_size(state) > limit else "call_model"


async def route_start(state: AgentState) -> Literal["compact", "call_model"]:
    """Where a run begins. Asynchronous, as every router here: LangGraph sends plain functions to a thread."""
    return before_model(state)


def context_size(state: AgentState) -> int:
    """Tokens of the next request: the provider's last count and an estimate of what came after it."""
    messages = state.get("messages", [])
    counted = state.get("context_tokens", 0)
    if not counted:
        return estimate_tokens(messages)
    newest = next((i for i in range(len(messages) - 1, -1, -1) if isinstance(messages[i], AIMessage)), -1)
    return counted + estimate_tokens(messages[newest + 1 :])
