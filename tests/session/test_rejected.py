"""A call the user rejected and the model proposes again unchanged: refused with the reason, and not asked about."""

from typing import Any

from ml_intern.graph.operations import Decision, ExecApproval, UserInput
from tests.session.conftest import Lab, bash, data, turn, until

AGAIN = "already rejected this exact call and is not asked again: use uv"


async def test_the_same_call_is_refused_without_asking_until_the_user_says_something(lab: Lab) -> None:
    steps: list[dict[str, Any]] = [
        {"tool_calls": [bash("touch bad")]},
        {"tool_calls": [bash("touch bad")], "expect": "rejected"},
        {"text": "as you wish", "expect": AGAIN},
        {"tool_calls": [bash("touch bad")]},
        {"text": "done"},
    ]
    async with lab.session(lab.script(*steps), approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        no: Decision = {"type": "reject", "message": "use uv"}
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: no}))
        assert data(events, "turn_complete")[0]["text"] == "as you wish"
        assert AGAIN in data(events, "tool_output")[-1]["text"]
        [asked] = data(await turn(session, UserInput("you may now")), "approval_required")
        await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
    assert (lab.workspace / "bad").exists()


async def test_a_changed_call_is_asked_about_beside_the_refused_one_and_a_restart_changes_nothing(lab: Lab) -> None:
    steps: list[dict[str, Any]] = [
        {"tool_calls": [bash("touch bad")]},
        {"tool_calls": [bash("touch bad"), bash("touch good")]},
        {"text": "done"},
    ]
    model = lab.script(*steps)
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        thread = session.thread_id
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
        [asked] = data(events, "approval_required")
        assert [request["args"]["command"] for request in asked["requests"]] == ["touch good"]
    async with lab.session(model, approval_mode="ask", thread=thread) as session:
        [asked] = data(await until(session, "approval_required"), "approval_required")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
        texts = [output["text"] for output in data(events, "tool_output")]
    assert "not asked again" in texts[0]
    assert [path.name for path in lab.workspace.iterdir()] == ["good"]


async def test_all_rejections_of_one_answer_are_remembered(lab: Lab) -> None:
    both = {"tool_calls": [bash("touch a"), bash("touch b")]}
    async with lab.session(lab.script(both, both, {"text": "done"}), approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        answers: dict[str, Decision] = {request["id"]: {"type": "reject"} for request in asked["requests"]}
        events = await turn(session, ExecApproval(answers))
    assert data(events, "approval_required") == []
    assert ["not asked again" in output["text"] for output in data(events, "tool_output")[-2:]] == [True, True]


async def test_what_was_not_answered_is_asked_about_again(lab: Lab) -> None:
    model = lab.script(
        {"tool_calls": [bash("touch a"), bash("touch b")]}, {"tool_calls": [bash("touch b")]}, {"text": "done"}
    )
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
        [again] = data(events, "approval_required")
        assert [request["args"]["command"] for request in again["requests"]] == ["touch b"]


async def test_a_model_that_only_repeats_a_rejected_call_is_stopped(lab: Lab) -> None:
    model = lab.script(*[{"tool_calls": [bash("touch bad")]}] * 60, {"text": "never"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
        assert data(events, "approval_required")[0]["requests"][0]["name"] == "question"
