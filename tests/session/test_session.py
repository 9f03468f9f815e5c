"""A turn through the real graph: real tools, real store, a scripted model."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from ml_intern.configs.errors import UsageError
from ml_intern.graph.operations import (
    Compact,
    Decision,
    ExecApproval,
    Interrupt,
    Rename,
    RunCommand,
    SetMode,
    UserInput,
)
from tests.session.conftest import Lab, bash, data, turn, until


async def test_a_turn_runs_its_tools_and_ends_with_the_models_answer(lab: Lab) -> None:
    model = lab.script({"text": "Looking.", "tool_calls": [bash("echo forty-two > f; cat f")]}, {"text": "It is 42."})
    async with lab.session(model) as session:
        events = await turn(session, UserInput("what is it?"))
        assert data(events, "turn_complete") == [{"turn": 1, "status": "done", "text": "It is 42.", "iterations": 2}]
        assert "forty-two" in data(events, "tool_output")[0]["text"]
        history = await session.messages()
    assert [message.type for message in history] == ["human", "ai", "tool", "ai"]
    assert (lab.workspace / "f").read_text() == "forty-two\n"


async def test_events_come_in_order_and_are_numbered(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("true")]}, {"text": "ok"})
    async with lab.session(model) as session:
        events = await turn(session, UserInput("go"))
    names = [event.type for event in events]
    for earlier, later in [
        ("ready", "processing"),
        ("processing", "assistant_message"),
        ("assistant_message", "tool_call"),
        ("tool_call", "tool_output"),
        ("tool_output", "turn_complete"),
    ]:
        assert names.index(earlier) < names.index(later)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_in_mode_ask_a_call_waits_and_runs_once_approved(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("echo x >> log")]}, {"text": "done"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        assert [request["name"] for request in asked["requests"]] == ["bash"]
        assert not (lab.workspace / "log").exists()
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
    assert data(events, "turn_complete")[0]["status"] == "done"
    assert (lab.workspace / "log").read_text() == "x\n"


async def test_a_rejection_reaches_the_model_with_its_reason(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch no")]}, {"text": "understood", "expect": "use a branch"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        reject: Decision = {"type": "reject", "message": "use a branch"}
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: reject}))
    assert data(events, "turn_complete")[0]["text"] == "understood"
    assert not (lab.workspace / "no").exists()


async def test_an_edited_call_runs_as_edited_and_its_result_says_so(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch wrong")]}, {"text": "ok", "expect": "touch right"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        edit: Decision = {"type": "edit", "args": {"command": "touch right"}}
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: edit}))
        history = await session.messages()
    assert data(events, "turn_complete")[0]["status"] == "done"
    assert [path.name for path in lab.workspace.iterdir()] == ["right"]
    assert isinstance(history[1], AIMessage)
    assert history[1].tool_calls[0]["args"] == {"command": "touch wrong"}


async def test_what_is_not_answered_is_rejected(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch a"), bash("touch b")]}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        await turn(session, ExecApproval({asked["requests"][1]["id"]: {"type": "approve"}}))
    assert [path.name for path in lab.workspace.iterdir()] == ["b"]


async def test_a_second_answer_is_an_error_and_runs_nothing(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("echo x >> log")]}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        answer = ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}, by="web")
        await turn(session, answer)
        with pytest.raises(UsageError, match="this approval was already answered from the web page"):
            await session.submit(answer)
    assert (lab.workspace / "log").read_text() == "x\n"


async def test_a_new_message_while_an_approval_waits_closes_it_first(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch no")]}, {"text": "then this"})
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, UserInput("go"))
        events = await turn(session, UserInput("do something else"))
        history = await session.messages()
    assert data(events, "turn_complete")[0]["text"] == "then this"
    assert [message.type for message in history] == ["human", "ai", "tool", "human", "ai"]
    assert "superseded" in history[2].text
    assert not (lab.workspace / "no").exists()


async def test_an_approval_survives_the_process_and_is_asked_again(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("echo x >> log")]}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        thread = session.thread_id
    async with lab.session(model, approval_mode="ask", thread=thread[:8]) as session:
        events = await until(session, "approval_required")
        assert data(events, "resumed")[0]["pending"] == "approval"
        assert data(events, "approval_required") == [asked]
        assert not (lab.workspace / "log").exists()
        await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
    assert (lab.workspace / "log").read_text() == "x\n"


async def test_interrupt_stops_the_tool_and_leaves_nothing_pending(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch begun; sleep 60; touch late")]}, {"text": "fine"})
    async with lab.session(model) as session:
        await session.submit(UserInput("go"))
        await until(session, "tool_call")
        events = await turn(session, Interrupt())
        assert data(events, "interrupted")
        assert session.end is not None
        assert session.end.exit_code == 130
        last = (await session.messages())[-1]
        assert isinstance(last, ToolMessage)
        assert "interrupted by the user" in last.text.lower()
        events = await turn(session, UserInput("and now?"))
        assert data(events, "turn_complete")[0]["text"] == "fine"
    assert not (lab.workspace / "late").exists()


async def test_a_fault_of_the_provider_keeps_the_message_and_the_next_one_asks_once(lab: Lab) -> None:
    model = lab.script({"error": "broken"})
    async with lab.session(model) as session:
        events = await turn(session, UserInput("first"))
        assert data(events, "error")[0]["exit_code"] == 1
        assert data(events, "turn_complete")[0]["status"] == "failed"
        thread = session.thread_id
    healthy = lab.script({"text": "back again"}, {"text": "twice"})
    async with lab.session(healthy, thread=thread) as session:
        events = await until(session, "turn_complete")
        assert data(events, "turn_complete")[0]["text"] == "back again"
        assert [m.text for m in await session.messages()] == ["first", "back again"]


async def test_a_failed_turn_reports_its_number_and_its_model_calls(lab: Lab) -> None:
    model = lab.script({"text": "hello"}, {"tool_calls": [bash("true")]}, {"error": "broken"})
    async with lab.session(model) as session:
        await turn(session, UserInput("first"))
        [end] = data(await turn(session, UserInput("second")), "turn_complete")
        assert session.end is not None
        assert (session.end.status, session.end.iterations) == ("failed", 1)
    assert (end["status"], end["turn"], end["iterations"]) == ("failed", 2, 1)


async def test_the_iteration_limit_runs_the_last_tools_and_makes_no_further_call(lab: Lab) -> None:
    model = lab.script(*({"tool_calls": [bash(f"echo {n} >> log")]} for n in range(9)))
    async with lab.session(model, max_iterations=3) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["status"] == "limit"
    assert data(events, "turn_complete")[0]["iterations"] == 3
    assert (lab.workspace / "log").read_text() == "0\n1\n2\n"


async def test_a_model_that_goes_round_in_circles_is_corrected_then_refused_then_stopped(lab: Lab) -> None:
    model = lab.script(*({"tool_calls": [bash("echo same; echo x >> log")]} for _ in range(9)))
    async with lab.session(model, headless=True) as session:
        events = await turn(session, UserInput("go"))
        results = [m.text for m in await session.messages() if isinstance(m, ToolMessage)]
    assert (lab.workspace / "log").read_text() == "x\n" * 3
    assert [text.split()[0] for text in results[3:]] == ["Not", "Refused:", "Not"]
    assert data(events, "turn_complete")[0]["status"] == "failed"


async def test_with_a_person_at_hand_the_circle_is_a_question(lab: Lab) -> None:
    model = lab.script(*({"tool_calls": [bash("echo x >> log")]} for _ in range(6)), {"text": "ok"})
    async with lab.session(model) as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        assert asked["requests"][0]["name"] == "question"
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
    assert data(events, "turn_complete")[0]["status"] == "stopped"
    assert (lab.workspace / "log").read_text() == "x\n" * 3


async def test_open_plan_steps_are_nudged_at_most_twice(lab: Lab) -> None:
    plan = {"name": "plan", "args": {"steps": [{"text": "train", "status": "in_progress"}]}}
    model = lab.script({"tool_calls": [plan]}, {"text": "bye"}, {"text": "bye"}, {"text": "really"})
    async with lab.session(model) as session:
        events = await turn(session, UserInput("go"))
        notes = [m for m in await session.messages() if m.additional_kwargs.get("note")]
    assert data(events, "turn_complete")[0]["text"] == "really"
    assert len(notes) == 2
    assert "train" in notes[0].text


async def test_an_empty_reply_is_nudged_and_then_ends_the_turn(lab: Lab) -> None:
    async with lab.session(lab.script({}, {}, {}, {"text": "never asked for"})) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["status"] == "failed"
    assert data(events, "turn_complete")[0]["iterations"] == 3


async def test_the_users_own_command_joins_the_conversation(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "I see"}), approval_mode="ask") as session:
        await turn(session, RunCommand("echo by hand"), "tool_output")
        await turn(session, UserInput("what did I do?"))
        history = await session.messages()
    assert isinstance(history[0], HumanMessage)
    assert "by hand" in history[0].text


async def test_the_mode_can_change_between_turns(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch yes")]}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, SetMode("yolo"), "ready")
        events = await turn(session, UserInput("go"), "turn_complete")
    assert data(events, "turn_complete")[0]["status"] == "done"
    assert (lab.workspace / "yes").exists()


async def test_compacting_on_request_keeps_the_task_and_can_be_undone_to(lab: Lab) -> None:
    model = lab.script(*({"text": "long " * 400} for _ in range(6)))
    summary = lab.script({"summary": "Notes: all well."})
    async with lab.session(model, compact_model=summary, tool_names=("bash",)) as session:
        for number in range(5):
            await turn(session, UserInput(f"message {number}"))
        events = await turn(session, Compact("the numbers"), "turn_complete")
        [compacted] = data(events, "compacted")
        texts = [message.text for message in await session.messages()]
    assert compacted["after_tokens"] < compacted["before_tokens"]
    assert texts[0] == "message 0"
    assert any("Notes: all well." in text for text in texts)


SECRET = "hf_" + "FaKe" * 8 + "Ab"


async def test_a_secret_in_a_message_a_reply_or_a_result_reaches_no_event_and_no_checkpoint(lab: Lab) -> None:
    (lab.workspace / "leak").write_text(f"token={SECRET}\n")
    model = lab.script({"text": f"I see {SECRET}", "tool_calls": [bash("cat leak")]}, {"text": f"so {SECRET} it is"})
    async with lab.session(model) as session:
        events = await turn(session, UserInput(f"use {SECRET}"))
        history = await session.messages()
        await session.submit(Rename(f"with {SECRET}"))
    assert data(events, "turn_complete")[0]["status"] == "done"
    streamed = "".join(chunk["text"] for chunk in data(events, "assistant_chunk"))
    assert "I see" in streamed
    for text in (streamed, str([event.data for event in events]), str(history)):
        assert SECRET not in text
    # The snapshots hold the workspace's own files, this one too.
    files = [path for path in lab.home.rglob("*") if path.is_file() and "snapshots" not in path.parts]
    kept = [path for path in files if SECRET.encode() in path.read_bytes()]
    assert kept == []


async def test_a_secret_in_a_command_by_hand_reaches_no_note_and_no_checkpoint(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "ok"})) as session:
        events = await turn(session, RunCommand(f"echo {SECRET}"), "tool_output")
        history = await session.messages()
        whole = (await session.conversation()).messages
    assert [message.text.startswith("I ran `echo [redacted:") for message in history] == [True]
    for text in (str([event.data for event in events]), str(history), str(whole)):
        assert SECRET not in text
    files = [path for path in lab.home.rglob("*") if path.is_file() and "snapshots" not in path.parts]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


async def test_a_command_by_hand_that_is_cut_off_leaves_a_note_without_its_secret(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "ok"})) as session:
        await session.submit(RunCommand(f"echo {SECRET}; sleep 600"))
        await until(session, "tool_log")
        thread = session.thread_id
    async with lab.session(lab.script({"text": "ok"}), thread=thread) as session:
        [note] = await session.messages()
    assert "It was cut off" in note.text
    assert SECRET not in str(note)


async def test_a_call_whose_arguments_hold_a_secret_is_refused(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash(f"echo {SECRET} > stolen")]}, {"text": "ok", "expect": "variable"})
    async with lab.session(model) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["text"] == "ok"
    assert not (lab.workspace / "stolen").exists()
