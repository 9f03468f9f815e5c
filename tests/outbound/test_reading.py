"""What can be read back: our exports, recorded events, and session files, whatever state they are in."""

import json
from typing import Any

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.outbound.conversation import Call, Message
from ml_intern.outbound.exporting.formats import exported
from ml_intern.outbound.importing.event_reader import UNKNOWN
from ml_intern.outbound.importing.openai_reader import ARGUMENTS, BLOCKS, SIGNED, SYSTEM, UNREADABLE
from ml_intern.outbound.importing.reading import ORPHANS, UNANSWERED, UNANSWERED_CALLS, Read, paired, read_conversation
from tests.outbound.conversations import two_turns


def read(value: Any) -> Read:
    return read_conversation(value if isinstance(value, str) else json.dumps(value), "file")


def said(found: Read) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in found.conversation.messages]


def call(id: str, name: str = "bash", arguments: Any = '{"command": "ls"}') -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_the_export_as_openai_messages_comes_back_whole() -> None:
    found = read(exported(two_turns(), "openai"))
    assert found.left_out == {}
    assert said(found) == [(message.role, message.text) for message in two_turns().messages]
    assert [message.ok for message in found.conversation.messages][2:4] == [True, False]
    assert found.conversation.messages[1].calls == two_turns().messages[1].calls
    assert found.conversation.messages[1].reasoning == "I should look."
    for field in ("title", "folder", "model", "created", "updated"):
        assert getattr(found.conversation, field) == getattr(two_turns(), field)


def test_the_export_as_events_comes_back_but_for_notes_of_the_loop() -> None:
    found = read(exported(two_turns(), "events"))
    assert found.left_out == {}
    wanted = [(message.role, message.text) for message in two_turns().messages if message.role != "note"]
    assert said(found) == wanted
    assert found.conversation.messages[1].calls == two_turns().messages[1].calls
    assert (found.conversation.model, found.conversation.folder) == ("anthropic/claude", "/home/me/work")
    assert found.conversation.title == "what is it? sure?"[:11]


def test_a_session_file_of_the_former_program_is_read() -> None:
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
    assert said(found) == [("user", "train it"), ("assistant", ""), ("tool", "started"), ("assistant", "It runs.")]
    assert found.conversation.messages[1].calls == (Call("toolu_1", "hf_jobs", {"operation": "run"}),)
    assert (found.conversation.title, found.conversation.model) == ("Fine-tune a model", "anthropic/claude-opus-4-6")
    assert found.conversation.created == 1772355600.0
    assert found.left_out == {SYSTEM: 1, SIGNED: 1}
    row = {**session, "messages": json.dumps(session["messages"]), "events": json.dumps(session["events"])}
    assert said(read(row)) == said(found)


def test_a_session_file_with_events_alone_is_read_as_far_as_they_go() -> None:
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
    assert said(found) == [("assistant", "I look."), ("tool", "none"), ("tool", "text")]
    assert [message.ok for message in found.conversation.messages[1:]] == [False, True]
    assert found.left_out == {UNKNOWN: 1}


def test_a_bare_list_of_messages_and_one_a_line_are_read() -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert (
        said(read(messages))
        == said(read("\n".join(map(json.dumps, messages))))
        == [
            ("user", "hi"),
            ("assistant", "hello"),
        ]
    )


def test_a_recorded_run_is_read_without_the_turns_that_were_undone() -> None:
    def line(type: str, **data: Any) -> str:
        return json.dumps({"type": type, "thread_id": "t", "seq": 1, "time": 1.0, "data": data})

    def turn(number: int) -> list[str]:
        reply = line("assistant_message", message_id="m", text=f"a{number}", reasoning="", tool_calls=[])
        return [line("processing", turn=number, text=f"q{number}"), line("assistant_chunk", text="a"), reply]

    undo = line("undo_complete", direction="undo", turns=2, text="", notes=[])
    redo = line("undo_complete", direction="redo", turns=1, text="", notes=[])
    found = read("\n".join([*turn(1), *turn(2), *turn(3), undo, redo, "half a li"]))
    assert [text for _, text in said(found)] == ["q1", "a1", "q2", "a2"]
    assert found.left_out == {"lines that are no JSON": 1}


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
    sound, left_out = paired(messages)
    assert [(message.role, message.text) for message in sound] == [
        ("assistant", ""), ("tool", "for a"), ("tool", "for b"), ("tool", UNANSWERED), ("user", "meanwhile"),
        ("assistant", ""), ("tool", "first"), ("tool", "second"),
    ]  # fmt: skip
    assert left_out == {ORPHANS: 2, UNANSWERED_CALLS: 1}
    for place, message in enumerate(sound):
        ids = [made.id for made in message.calls]
        assert len(set(ids)) == len(ids)
        assert ids == [result.call_id for result in sound[place + 1 : place + 1 + len(ids)]]


def test_odd_values_become_what_a_checkpoint_takes() -> None:
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
def test_what_holds_no_conversation_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="holds no conversation"):
        read(text)


def test_several_conversations_in_one_file_are_not_guessed_between() -> None:
    one = json.dumps({"messages": [{"role": "user", "content": "hi"}]})
    with pytest.raises(UsageError, match="holds 2 conversations"):
        read(f"{one}\n{one}\n")


def test_arguments_nested_beyond_reason_are_one_line() -> None:
    deep = '{"a":' * 600 + "1" + "}" * 600
    with pytest.raises(UsageError, match="nested too deeply"):
        read(
            [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call("a", "f", json.loads(deep))]}]
        )
