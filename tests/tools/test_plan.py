"""The plan tool: the plan reaches the user and the state."""

from tests.execution.conftest import Bench


async def test_the_plan_goes_to_the_state_and_to_the_user(bench: Bench) -> None:
    steps = [
        {"text": "load the data", "status": "done"},
        {"text": "train", "status": "in_progress"},
        {"text": "report", "status": "pending"},
    ]
    result = await bench.run("plan", steps=steps)
    assert result.state == {"plan": steps}
    assert bench.sent("plan_update") == [{"steps": steps}]
    assert result.text == "Plan:\n[x] load the data\n[>] train\n[ ] report"


async def test_a_step_without_a_status_is_pending(bench: Bench) -> None:
    result = await bench.run("plan", steps=[{"text": "train"}])
    assert result.state == {"plan": [{"text": "train", "status": "pending"}]}


async def test_two_steps_in_progress_are_refused(bench: Bench) -> None:
    result = await bench.run("plan", steps=[{"text": str(n), "status": "in_progress"} for n in range(2)])
    assert (result.ok, result.state) == (False, None)
    assert "keep one in progress" in result.text
    assert bench.sent("plan_update") == []


async def test_an_unknown_status_is_refused_with_the_valid_ones(bench: Bench) -> None:
    result = await bench.run("plan", steps=[{"text": "train", "status": "doing"}])
    assert "steps.0.status: Input should be 'pending', 'in_progress', 'done' or 'dropped'" in result.text


async def test_the_plan_can_be_written_in_plan_mode_without_approval(bench: Bench) -> None:
    from ml_intern.execution.run import judge

    call = bench.call("plan", {"steps": []})
    assert [(await judge(call, bench.context(mode=mode))).kind for mode in ("plan", "ask", "auto")] == ["allow"] * 3
