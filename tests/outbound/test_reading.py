"""Import of exports, recorded events and session files, complete or damaged."""

import json
from typing import Any

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.outbound.conversation import Call, Message
from ml_intern.outbound.exporting.formats import export_conversation
from ml_intern.outbound.importing.event_reader import UNKNOWN
from ml_intern.outbound.importing.former_tools import FORMER_TOOLS
from ml_intern.outbound.importing.openai_reader import ARGUMENTS, BLOCKS, SIGNED, SYSTEM, UNREADABLE
from ml_intern.outbound.importing.reading import (
    ORPHANS,
    UNANSWERED,
    UNANSWERED_CALLS,
    ImportedConversation,
    pair_results,
    read_conversation,
)
from ml_intern.tools.plan import PlanArgs
from ml_intern.tools.registry import BUILTIN
from tests.outbound.conversations import two_turns


def read(value: Any) -> ImportedConversation:
    return read_conversation(value if isinstance(value, str) else json.dumps(value), "file")


def messages_of(found: ImportedConversation) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in found.conversation.messages]


def call(id: str, name: str = "bash", arguments: Any = '{"command": "ls"}') -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_an_openai_export_is_imported_without_loss() -> None:
    found = read(export_conversation(two_turns(), "openai"))
    assert found.left_out == {}
    assert messages_of(found) == [(message.role, message.text) for message in two_turns().messages]
    assert [message.ok for message in found.conversation.messages][2:4] == [True, False]
    assert found.conversation.messages[1].calls == two_turns().messages[1].calls
    assert found.conversation.messages[1].reasoning == "I should look."
    for field in ("title", "folder", "model", "created", "updated"):
        assert getattr(found.conversation, field) == getattr(two_turns(), field)


def test_an_events_export_is_imported_without_loop_notes() -> None:
    found = read(export_conversation(two_turns(), "events"))
    assert found.left_out == {}
    expected = [(message.role, message.text) for message in two_turns().messages if message.role != "note"]
    assert messages_of(found) == expected
    assert found.conversation.messages[1].calls == two_turns().messages[1].calls
    assert (found.conversation.model, found.conversation.folder) == ("anthropic/claude", "/home/me/work")
    assert found.conversation.title == "what is it? sure?"[:11]


def test_a_session_file_of_hugging_faces_ml_intern_is_imported() -> None:
    session = {
        "session_id": "b7a5c9d2",
        "session_title": "Fine-tune a model",
        "session_start_time": "2026-03-01T10:00:00+01:00",
        "session_end_time": "2026-03-01T11:00:00+01:00",
        "model_name": "anthropic/claude-opus-4-6",
        "total_cost_usd": 0.4,
        "messages": [
            {"content": "You are ML Intern", "role": "system", "tool_calls": None, "function_call": None},
            {"content": "train it", "role": "user", "tool_calls": None, "function_call": None},
            {
                "content": None,
                "role": "assistant",
                "tool_calls": [call("toolu_1", "hf_jobs", '{"operation": "run"}')],
                "function_call": None,
                "reasoning_content": "A job.",
                "thinking_blocks": [{"type": "thinking", "thinking": "A job.", "signature": "x"}],
                "provider_specific_fields": {},
            },
            {"content": "started", "role": "tool", "tool_call_id": "toolu_1", "name": "hf_jobs"},
            {"content": "It runs.", "role": "assistant", "tool_calls": None},
        ],
        "events": [{"timestamp": "2026-03-01T10:00:01", "event_type": "processing", "data": {}}],
        "tools": [],
        "upload_status": "pending",
    }
    found = read(session)
    assert messages_of(found) == [
        ("user", "train it"),
        ("assistant", ""),
        ("tool", "started"),
        ("assistant", "It runs."),
    ]
    assert found.conversation.messages[1].calls == (Call("toolu_1", "jobs", {"operation": "run"}),)
    assert found.conversation.messages[2].name == "jobs"
    assert (found.conversation.title, found.conversation.model) == ("Fine-tune a model", "anthropic/claude-opus-4-6")
    assert found.conversation.created == 1772355600.0
    assert found.left_out == {SYSTEM: 1, SIGNED: 1}
    row = {**session, "messages": json.dumps(session["messages"]), "events": json.dumps(session["events"])}
    assert messages_of(read(row)) == messages_of(found)


def test_a_session_file_with_only_events_is_imported_from_its_events() -> None:
    def event(type: str, **data: Any) -> dict[str, Any]:
        return {"timestamp": "2026-03-01T10:00:00", "event_type": type, "data": data}

    events = [
        event("ready", message="hello"),
        event("assistant_message", content="I look."),
        event("tool_call", tool="bash", arguments={"command": "ls"}, tool_call_id="a"),
        event("tool_call", tool="read", arguments={"path": "f"}, tool_call_id="b"),
        event("tool_output", tool="read", tool_call_id="b", output="text", success=True),
        event("tool_output", tool="bash", tool_call_id="a", output="none", success=False),
        event("llm_call", cost_usd=0.1),
    ]
    found = read({"session_id": "s", "events": events})
    assert messages_of(found) == [("assistant", "I look."), ("tool", "none"), ("tool", "text")]
    assert [message.ok for message in found.conversation.messages[1:]] == [False, True]
    assert found.left_out == {UNKNOWN: 1}


def test_a_message_list_and_one_message_per_line_are_imported() -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert (
        messages_of(read(messages))
        == messages_of(read("\n".join(map(json.dumps, messages))))
        == [
            ("user", "hi"),
            ("assistant", "hello"),
        ]
    )


def test_a_recorded_run_is_imported_without_undone_turns() -> None:
    def line(type: str, **data: Any) -> str:
        return json.dumps({"type": type, "thread_id": "t", "seq": 1, "time": 1.0, "data": data})

    def turn(number: int) -> list[str]:
        reply = line("assistant_message", message_id="m", text=f"a{number}", reasoning="", tool_calls=[])
        return [line("processing", turn=number, text=f"q{number}"), line("assistant_chunk", text="a"), reply]

    undo = line("undo_complete", direction="undo", turns=2, text="", notes=[])
    redo = line("undo_complete", direction="redo", turns=1, text="", notes=[])
    found = read("\n".join([*turn(1), *turn(2), *turn(3), undo, redo, "half a li"]))
    assert [text for _, text in messages_of(found)] == ["q1", "a1", "q2", "a2"]
    assert found.left_out == {"lines that are not JSON": 1}


def test_every_call_gets_exactly_one_result_right_after_its_reply() -> None:
    messages = [
        Message("tool", "early", call_id="x"),
        Message("assistant", "", "m1", (Call("a", "bash", {}), Call("b", "read", {}), Call("", "plan", {}))),
        Message("tool", "for b", call_id="b"),
        Message("user", "meanwhile"),
        Message("tool", "for a", call_id="a"),
        Message("tool", "twice", call_id="a"),
        Message("assistant", "", "m2", (Call("a", "bash", {}), Call("a", "bash", {}))),
        Message("tool", "first", call_id="a"),
        Message("tool", "second", call_id="a"),
    ]
    repaired, left_out = pair_results(messages)
    assert [(message.role, message.text) for message in repaired] == [
        ("assistant", ""), ("tool", "for a"), ("tool", "for b"), ("tool", UNANSWERED), ("user", "meanwhile"),
        ("assistant", ""), ("tool", "first"), ("tool", "second"),
    ]  # fmt: skip
    assert left_out == {ORPHANS: 2, UNANSWERED_CALLS: 1}
    for index, message in enumerate(repaired):
        ids = [made.id for made in message.calls]
        assert len(set(ids)) == len(ids)
        assert ids == [result.call_id for result in repaired[index + 1 : index + 1 + len(ids)]]


def test_unusual_values_become_valid_for_a_checkpoint() -> None:
    blocks = [
        {"type": "text", "text": "look \ud800"},
        {"type": "image_url", "image_url": {"url": "https://x/i.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        {"type": "audio", "audio": {}},
        {"type": "thinking", "thinking": "x", "signature": "y"},
        "plain",
    ]
    found = read(
        [
            {"role": "user", "content": blocks},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [call("a", "f", "{broken"), call("b", "g", {"n": 2**80})],
            },
            {"role": "function", "name": "f", "content": "r"},
            {"role": "martian", "content": "?"},
            7,
        ]
    )
    user, reply = found.conversation.messages[0], found.conversation.messages[1]
    assert user.text == "look ?\n[image: https://x/i.png]\nplain"
    assert user.images == ("data:image/png;base64,AA",)
    assert [dict(one.args) for one in reply.calls] == [{"raw": "{broken"}, {"n": str(2**80)}]
    assert found.left_out == {BLOCKS: 1, SIGNED: 1, ARGUMENTS: 1, UNREADABLE: 2, UNANSWERED_CALLS: 1}


@pytest.mark.parametrize(
    "text",
    ["", "hello", "[]", "{}", "null", "7", '{"messages": []}', '{"messages": "x"}', "[" * 100_000, '[[["user", "hi"]]]',
     '[{"role": "system"}]', '{"a": 1}\n{"b": 2}', '{"type": "ready", "data": {}}'],
)  # fmt: skip
def test_a_file_without_a_conversation_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="does not contain a conversation"):
        read(text)


def test_several_conversations_in_one_file_are_a_usage_error() -> None:
    one = json.dumps({"messages": [{"role": "user", "content": "hi"}]})
    with pytest.raises(UsageError, match="contains 2 conversations"):
        read(f"{one}\n{one}\n")


def test_too_deeply_nested_arguments_are_a_usage_error() -> None:
    deep = '{"a":' * 600 + "1" + "}" * 600
    with pytest.raises(UsageError, match="too deeply nested"):
        read(
            [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call("a", "f", json.loads(deep))]}]
        )


def test_former_tools_get_their_current_names_and_plans_their_current_form() -> None:
    todos = [
        {"id": "1", "content": "read", "status": "completed"},
        {"id": "2", "content": "train", "status": "pending"},
    ]
    calls = [
        call("1", "plan_tool", json.dumps({"todos": todos})),
        call("2", "hf_repo_git", "{}"),
        call("3", "bash", "{}"),
    ]
    found = read_conversation(json.dumps([{"role": "assistant", "content": "", "tool_calls": calls}]), "x.json")
    plan, repos, bash = found.conversation.messages[0].calls
    assert (plan.name, repos.name, bash.name) == ("plan", "hub_repos", "bash")
    assert plan.args == {"steps": [{"text": "read", "status": "done"}, {"text": "train", "status": "pending"}]}
    PlanArgs.model_validate(plan.args)


def test_every_former_tool_leads_to_a_tool_and_none_of_them_is_one() -> None:
    names = {spec.name for spec in BUILTIN}
    assert set(FORMER_TOOLS.values()) <= names
    assert not FORMER_TOOLS.keys() & names
