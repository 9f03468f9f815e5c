"""Requests in the form Anthropic's documentation describes, and its events in any form they may arrive."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from ml_intern.models.anthropic_format import AnthropicEvents, AnthropicMessages, thinking_fields, tools_of
from ml_intern.models.transports.base import WHOLE, Trimming
from tests.nodes.test_shortened import conversations, made_whole

MODEL = "anthropic/claude-sonnet-5"
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
MARK = {"type": "ephemeral"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


def sent(messages: list[AnyMessage], model: str = MODEL, trimming: Trimming = WHOLE) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(b'{"x":0%b}' % AnthropicMessages()(messages, model, trimming))
    return body


def bash(id: str, **args: Any) -> dict[str, Any]:
    return {"name": "bash", "args": args, "id": id}


def reply(text: str, *calls: dict[str, Any], model: str = MODEL, **kwargs: Any) -> AIMessage:
    return AIMessage(text, tool_calls=list(calls), response_metadata={"model": model}, additional_kwargs=kwargs)


def test_results_and_what_the_user_wrote_after_them_are_one_message() -> None:
    calls = bash("a", command="ls"), bash("b", command="pwd")
    body = sent([
        SystemMessage("be brief"), HumanMessage("hello"), reply("I look.", *calls),
        ToolMessage("x.py", tool_call_id="a"), ToolMessage("", tool_call_id="b", status="error"), HumanMessage("go on"),
    ])  # fmt: skip
    assert body["system"] == [{"type": "text", "text": "be brief", "cache_control": MARK}]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "a", "name": "bash", "input": {"command": "ls"}},
        {"type": "tool_use", "id": "b", "name": "bash", "input": {"command": "pwd"}},
    ]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "x.py"}]},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True},
        {"type": "text", "text": "go on", "cache_control": MARK},
    ]


def test_an_image_of_a_result_is_in_the_result_or_named() -> None:
    content: list[str | dict[str, Any]] = [
        {"type": "text", "text": "plot"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    messages: list[AnyMessage] = [HumanMessage("hello"), reply("", bash("a")), ToolMessage(content, tool_call_id="a")]
    _, image = sent(messages)["messages"][2]["content"][0]["content"]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    _, text = sent(messages, trimming=Trimming(images=True))["messages"][2]["content"][0]["content"]
    assert (text["type"], "image" in text["text"]) == ("text", True)


def test_signed_thinking_goes_back_only_to_the_model_that_wrote_it() -> None:
    own: list[AnyMessage] = [
        HumanMessage("hello"),
        reply("", bash("a"), thinking_blocks=[THOUGHT]),
        ToolMessage("x", tool_call_id="a"),
    ]
    assert sent(own)["messages"][1]["content"][0] == THOUGHT
    for body in (sent(own, "anthropic/claude-opus-5"), sent(own, trimming=Trimming(reasoning=True))):
        assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]


def test_ids_of_other_providers_fit_and_still_match() -> None:
    id = "functions.bash:0"
    body = sent([HumanMessage("hello"), reply("", bash(id)), ToolMessage("x", tool_call_id=id)])
    use, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    assert use["id"] == result["tool_use_id"] == "functions_bash_0"


def test_the_end_of_the_previous_request_stays_marked() -> None:
    first: list[AnyMessage] = [HumanMessage("hello")]
    more = [*first, reply("", bash("a")), ToolMessage("x", tool_call_id="a")]
    more += [reply("", bash("b")), ToolMessage("y", tool_call_id="b")]
    marked = [["cache_control" in block for block in message["content"]] for message in sent(more)["messages"]]
    assert marked == [[False], [False], [True], [False], [True]]


@given(conversations().map(made_whole))
def test_every_conversation_alternates_begins_with_the_user_and_pairs_its_calls(messages: list[AnyMessage]) -> None:
    turns = sent(messages)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2)
    waiting: list[str] = []
    for turn in turns:
        assert turn["content"]
        results = [block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"]
        assert sorted(results) == sorted(waiting)
        waiting = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        assert all(block["text"].strip() for block in turn["content"] if block["type"] == "text")


def test_a_tool_without_parameters_has_an_empty_schema() -> None:
    (tool,) = tools_of([{"type": "function", "function": {"name": "now"}}])
    assert tool == {"name": "now", "description": "", "input_schema": {"type": "object", "properties": {}}}


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "index", "thinking", "text", "stop_reason", "usage", "id", "input"]), inner, max_size=4

    ),
    max_leaves=12,
)  # fmt: skip
kinds = st.sampled_from([
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "ping", "new",
])  # fmt: skip


@given(
    st.lists(
        st.tuples(
            kinds, st.dictionaries(st.sampled_from(["index", "delta", "content_block", "message", "usage"]), junk)
        )
    )
)
def test_no_event_of_a_foreign_form_fails(events: list[tuple[str, dict[str, Any]]]) -> None:
    reader = AnthropicEvents()
    for kind, fields in events:
        part = reader.read({"type": kind, **fields})
        assert isinstance(part.text + part.reasoning, str)


def test_redacted_thinking_goes_back_as_it_came() -> None:
    reader, block = AnthropicEvents(), {"type": "redacted_thinking", "data": "c2VjcmV0"}
    reader.read({"type": "content_block_start", "index": 0, "content_block": block})
    assert reader.read({"type": "content_block_stop", "index": 0}).extras == {"thinking_blocks": [block]}


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        (MODEL, None, {}),
        (MODEL, "off", {}),
        (MODEL, "none", {"thinking": {"type": "disabled"}}),
        (MODEL, "minimal", {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}),
        (MODEL, "xhigh", {"thinking": ADAPTIVE, "output_config": {"effort": "xhigh"}}),
        ("anthropic/claude-sonnet-4-6", "xhigh", {"thinking": ADAPTIVE, "output_config": {"effort": "high"}}),
        ("anthropic/claude-new-9", "medium", {"thinking": ADAPTIVE, "output_config": {"effort": "medium"}}),
        ("anthropic/claude-haiku-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 2_048}}),
        ("anthropic/claude-3-haiku-20240307", "high", {}),
    ],
)
def test_an_effort_is_sent_as_the_model_understands_it(model: str, effort: str | None, fields: dict[str, Any]) -> None:
    assert thinking_fields(model, effort, 32_000) == fields


def test_a_budget_of_thinking_leaves_room_for_the_reply() -> None:
    assert thinking_fields("anthropic/claude-haiku-4-5", "high", 8_192)["thinking"]["budget_tokens"] == 7_168
