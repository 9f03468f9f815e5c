"""The size of the next request, and when it is compacted first."""

from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from ml_intern.graph.state import AgentState, estimate_tokens
from ml_intern.nodes.routing import before_model, context_size

ASKED, CALL = HumanMessage("question " * 100), {"name": "bash", "args": {}, "id": "a"}
REPLY, RESULT = AIMessage("words " * 1_000, tool_calls=[CALL]), ToolMessage("result " * 50, tool_call_id="a")


def state(*messages: AnyMessage, **fields: Any) -> AgentState:
    return cast(AgentState, {"messages": [*messages], **fields})


def test_what_the_provider_counted_is_not_estimated_again() -> None:
    assert context_size(state(ASKED, REPLY, context_tokens=2_000)) == 2_000
    assert context_size(state(ASKED, REPLY, RESULT, context_tokens=2_000)) == 2_000 + estimate_tokens([RESULT])


def test_only_the_messages_after_the_latest_reply_are_added() -> None:
    latest = AIMessage("more " * 500, tool_calls=[CALL])
    found = context_size(state(ASKED, REPLY, RESULT, latest, RESULT, HumanMessage("and"), context_tokens=3_000))
    assert found == 3_000 + estimate_tokens([RESULT, HumanMessage("and")])


def test_without_a_count_everything_is_estimated() -> None:
    assert context_size(state(ASKED, REPLY, RESULT)) == estimate_tokens([ASKED, REPLY, RESULT])
    assert context_size(state(context_tokens=0)) == 0


@pytest.mark.parametrize(
    ("fields", "node"),
    [
        ({"context_tokens": 100, "context_limit": 100}, "call_model"),
        ({"context_tokens": 101, "context_limit": 100}, "compact"),
        ({"context_tokens": 101, "context_limit": 0}, "call_model"),
        ({"context_tokens": 101}, "call_model"),
        ({"context_tokens": 1, "context_limit": 100, "compaction": {"reason": "manual"}}, "compact"),
    ],
)
def test_a_request_over_the_limit_or_a_demand_is_compacted_first(fields: dict[str, Any], node: str) -> None:
    assert before_model(state(ASKED, REPLY, **fields)) == node
