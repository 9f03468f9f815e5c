"""An answer belongs to what was asked, whatever policy has become in the meantime."""

from langgraph.types import Command

from ml_intern.graph.operations import ExecApproval, SetMode, UserInput
from tests.session.conftest import Lab, bash, data, turn, until


async def test_a_rejected_call_does_not_run_when_the_mode_became_lenient_before_the_answer(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch bad")]}, {"text": "ok", "expect": "rejected"})
    async with lab.session(model, approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
        await turn(session, SetMode("yolo"), "ready")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "reject"}}))
    assert data(events, "turn_complete")[0]["text"] == "ok"
    assert not (lab.workspace / "bad").exists()


async def test_answers_by_position_belong_to_the_calls_that_were_asked_about(lab: Lab) -> None:
    calls = [{"name": "read", "args": {"path": "."}}, bash("touch first"), bash("touch second")]
    model = lab.script({"tool_calls": calls}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, UserInput("go"))
        thread = session.thread_id
    async with lab.session(model, approval_mode="auto", thread=thread) as session:
        await until(session, "approval_required")
        await session._run(Command(resume={"decisions": [{"type": "reject"}, {"type": "approve"}]}))
    assert [path.name for path in lab.workspace.iterdir()] == ["second"]


async def test_a_client_learns_once_per_tool_which_answers_are_possible(lab: Lab) -> None:
    calls = [bash("touch first"), bash("touch second"), {"name": "write", "args": {"path": "third", "content": ""}}]
    async with lab.session(lab.script({"tool_calls": calls}), approval_mode="ask") as session:
        [asked] = data(await turn(session, UserInput("go")), "approval_required")
    answers = ["approve", "edit", "reject", "respond"]
    assert [(one["action_name"], sorted(one["allowed_decisions"])) for one in asked["configs"]] == [
        ("bash", answers),
        ("write", answers),
    ]
