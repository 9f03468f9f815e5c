"""Export of conversations in every format."""

import json

import pytest

from ml_intern.graph.events import EVENTS
from ml_intern.outbound.conversation import Call, Conversation, Message, RequestUsage
from ml_intern.outbound.exporting.event_lines import rebuild_events
from ml_intern.outbound.exporting.formats import FORMATS, export_conversation
from ml_intern.outbound.exporting.markdown import code_block, code_span
from tests.outbound.conversations import two_turns
from tests.outbound.page import Page


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_contains_every_text_of_the_thread(name: str) -> None:
    text = export_conversation(two_turns(), name)
    shown = Page(text).text if name == "html" else text
    for part in ("what is it?", "Let me see.", "no such file", "sure?", "Yes.", "11111111-2222"):
        assert part in shown


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_contains_a_secret(name: str) -> None:
    secret = "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH"
    call = Call("c", "bash", {"command": f"echo {secret}", "deep": [{"token": secret}]})
    messages = (
        Message("user", secret),
        Message("assistant", secret, "m", (call,), f"thought {secret}"),
        Message("tool", secret, call_id="c"),
    )
    assert secret not in export_conversation(Conversation("t", messages, title=secret), name)


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_thread_can_be_exported(name: str) -> None:
    assert export_conversation(Conversation("t", ()), name)


def test_markdown_fences_are_longer_than_any_fence_in_the_text() -> None:
    assert code_block("a\n```\nb\n````\n") == "`````\na\n```\nb\n````\n`````"
    assert code_span("a ``b`` c") == "```a ``b`` c```"
    assert code_span("`a`") == "`` `a` ``"
    text = export_conversation(two_turns(), "markdown")
    assert "````text\n```\nno such file\n````" in text
    assert text.startswith("# What is it?\n\n- thread: `11111111-")


def test_a_note_is_marked_in_claude_code_files() -> None:
    lines = [json.loads(line) for line in export_conversation(two_turns(), "claude-code").splitlines()]
    marked = [line["message"]["content"][0]["text"] for line in lines if line.get("isMeta")]
    assert marked == ["Go on."]


def test_openai_messages_have_only_fields_that_providers_accept() -> None:
    whole = json.loads(export_conversation(two_turns(), "openai"))
    roles = [message["role"] for message in whole["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user", "assistant", "user", "assistant"]
    known = {"role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content"}
    assert all(set(message) <= known for message in whole["messages"])
    calls = whole["messages"][1]["tool_calls"]
    assert [set(call) for call in calls] == [{"id", "type", "function"}] * 2
    assert json.loads(calls[1]["function"]["arguments"]) == {"command": "cat f\nexit 3", "timeout": 5}
    assert [message["tool_call_id"] for message in whole["messages"][2:4]] == ["call_1", "call_2"]
    assert (whole["session_id"], whole["model_name"]) == (two_turns().thread_id, "anthropic/claude")


def test_events_have_the_documented_fields_and_are_numbered_in_order_of_time() -> None:
    events = [json.loads(line) for line in export_conversation(two_turns(), "events").splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("ready", "result")
    assert all(tuple(event) == ("type", "thread_id", "seq", "time", "data") for event in events)
    assert all(sorted(event["data"]) == sorted(EVENTS[event["type"]].fields) for event in events)
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_events_show_each_step_and_the_end_of_each_turn() -> None:
    events = list(rebuild_events(two_turns(), "1.0"))
    assert [event.type for event in events] == [
        "ready", "processing", "assistant_message", "tool_call", "plan_update", "tool_output", "tool_call",
        "tool_output", "assistant_message", "turn_complete", "processing", "assistant_message", "turn_complete",
        "shutdown", "result",
    ]  # fmt: skip
    ends = [event.data for event in events if event.type == "turn_complete"]
    assert [(end["turn"], end["status"], end["text"], end["iterations"]) for end in ends] == [
        (1, "done", "It is **42**.", 2),
        (2, "done", "Yes.", 1),
    ]
    assert (events[-1].data["status"], events[-1].data["text"], events[-1].data["cost_usd"]) == ("done", "Yes.", 0.25)
    outputs = [event.data for event in events if event.type == "tool_output"]
    assert [(found["ok"], found["status"], found["seconds"]) for found in outputs] == [
        (True, "done", 0.5),
        (False, "failed", 5),
    ]


def test_usage_events_are_placed_by_their_time() -> None:
    paid = (
        RequestUsage("m", "main", 10, 2, 0, 0, 0, 0.5, 1_760_000_001.5),
        RequestUsage("m", "main", 10, 2, 0, 0, 0, None, 1_760_000_055.0),
    )
    whole = Conversation("t", two_turns().messages, created=1_760_000_000.0, requests=paid)
    events = list(rebuild_events(whole, "1.0"))
    places = [place for place, event in enumerate(events) if event.type == "usage"]
    assert [events[place + 1].type for place in places] == ["assistant_message", "assistant_message"]
    assert [events[place].data["total_cost_usd"] for place in places] == [0.5, 0.5]


def test_a_turn_without_an_answer_is_interrupted() -> None:
    events = list(rebuild_events(Conversation("t", (Message("user", "go"),)), "1.0"))
    assert [event.data["status"] for event in events if event.type in ("turn_complete", "result")] == [
        "interrupted"
    ] * 2
