"""The route to the next model call; used by START, doom_check, approval_interrupt and execute_tools."""

from collections.abc import Callable
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from ml_intern.graph.state import AgentState, estimate_tokens


def before_model(state: AgentState) -> Literal["compact", "call_model"]:
    """Compact first if it was requested or the conversation exceeds its limit."""
    if state.get("compaction"):
        return "compact"
    limit = state.get("context_limit", 0)
    return "compact" if limit and context_size(state) > limit else "call_model"


def route_start(state: AgentState) -> Literal["compact", "call_model"]:
    """Choose the first node."""
    return before_model(state)


class Router(Runnable[AgentState, str]):
    """A routing function as LangGraph calls it: at once, not in a thread and without a trace of its own."""

    def __init__(self, choose: Callable[[AgentState], str]) -> None:
        self.name = choose.__name__
        self._choose = choose

    def invoke(self, input: AgentState, *_: Any, **__: Any) -> str:
        """Return the name of the next node."""
        return self._choose(input)

    async def ainvoke(self, input: AgentState, *_: Any, **__: Any) -> str:
        """Return the name of the next node."""
        return self._choose(input)


def context_size(state: AgentState) -> int:
    """Return the tokens of the next request: the provider's last count plus an estimate of the later messages."""
    messages = state.get("messages", [])
    counted = state.get("context_tokens", 0)
    if not counted:
        return estimate_tokens(messages)
    latest = next((i for i in range(len(messages) - 1, -1, -1) if isinstance(messages[i], AIMessage)), -1)
    return counted + estimate_tokens(messages[latest + 1 :])
