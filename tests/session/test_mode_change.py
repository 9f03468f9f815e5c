"""The approval mode can change while a turn runs: the next call is judged by the new one."""

import asyncio
import os

import pytest

from ml_intern.graph.operations import SetMode, UserInput
from tests.session.conftest import Lab, bash, data, until


@pytest.mark.parametrize(("before", "after"), [("plan", "yolo"), ("yolo", "plan")])
async def test_a_new_mode_applies_from_the_next_call_of_the_running_turn(lab: Lab, before: str, after: str) -> None:
    gate = lab.workspace / "gate"
    os.mkfifo(gate)
    model = lab.script({"tool_calls": [bash("cat gate"), bash("touch made")]}, {"text": "Done."})
    async with lab.session(model, approval_mode=before) as session:
        await session.submit(UserInput("go"))
        await until(session, "tool_call")
        await session.submit(SetMode(after))  # type: ignore[arg-type]
        await asyncio.to_thread(gate.write_text, "open\n")
        outputs = data(await until(session, "turn_complete"), "tool_output")
    runs = after == "yolo"
    assert [output["ok"] for output in outputs] == [True, runs]
    assert (lab.workspace / "made").exists() is runs
