"""Plan mode: only what reads runs, a plan with open steps is a fine end, and the work begins once it is accepted."""

from ml_intern.graph.operations import SetMode, UserInput
from tests.session.conftest import Lab, bash, data, turn

PLAN = {"name": "plan", "args": {"steps": [{"text": "train", "status": "pending"}]}}


async def test_only_reading_runs_and_the_plan_is_carried_out_once_accepted(lab: Lab) -> None:
    model = lab.script(
        {"tool_calls": [bash("ls"), bash("touch made"), {"name": "write", "args": {"path": "a", "content": "x"}}]},
        {"tool_calls": [PLAN], "expect": "plan mode is read-only"},
        {"text": "This is my plan."},
        {"tool_calls": [bash("touch made")]},
        {"text": "done"},
        {"text": "done"},
        {"text": "done"},
    )
    async with lab.session(model, approval_mode="plan") as session:
        events = await turn(session, UserInput("make it"))
        assert [output["ok"] for output in data(events, "tool_output")] == [True, False, False, True]
        assert data(events, "turn_complete")[0]["text"] == "This is my plan."
        assert list(lab.workspace.iterdir()) == []
        assert [step["text"] for step in await session.plan()] == ["train"]
        await turn(session, SetMode("ask"), "ready")
        assert data(await turn(session, UserInput("I accept")), "approval_required")


async def test_the_model_is_told_that_it_plans(lab: Lab) -> None:
    from ml_intern.nodes.prompt import render_system_prompt

    planning = render_system_prompt({}, lab.options("m", approval_mode="plan"), "2026-01-01")
    assert "only read-only calls run" in planning
    assert "only read-only calls run" not in render_system_prompt({}, lab.options("m"), "2026-01-01")
