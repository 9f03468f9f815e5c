"""A copy of a thread whose calls are under way elsewhere: it tells what ran there, and leaves it alone."""

import asyncio
import os

from ml_intern.graph.operations import UserInput
from tests.session.conftest import Lab, bash, data, turn, until


async def test_a_fork_of_a_running_thread_tells_what_ran_and_does_not_stop_it(lab: Lab) -> None:
    os.mkfifo(lab.workspace / "ready")
    os.mkfifo(lab.workspace / "go")
    calls = [bash("echo one >> log"), bash("echo two >> log; echo > ready; read line < go"), bash("echo three >> log")]
    model = lab.script({"tool_calls": calls}, {"text": "done"})
    async with lab.session(model) as session:
        await session.submit(UserInput("go"))
        await asyncio.to_thread((lab.workspace / "ready").read_text)
        async with lab.session(model, thread=session.thread_id, fork=True) as copy:
            told = [message.text for message in (await copy.messages())[2:]]
            assert copy.thread_id != session.thread_id
        await asyncio.to_thread((lab.workspace / "go").write_text, "\n")
        events = await until(session, "turn_complete")
    assert told[0] == "(no output)\n[exit code 0]"
    assert "may have run in part" in told[1]
    assert told[2].startswith("Not run")
    assert [output["ok"] for output in data(events, "tool_output")] == [True, True, True]
    assert (lab.workspace / "log").read_text().split() == ["one", "two", "three"]


async def test_what_finished_before_a_fork_does_not_run_again_in_it(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("echo one >> log")]}, {"error": "gone"})
    async with lab.session(model) as session:
        await turn(session, UserInput("go"), "turn_complete")
        thread = session.thread_id
    on = lab.script({"text": "never"}, {"text": "I see", "expect": "exit code 0"})
    async with lab.session(on, thread=thread, fork=True) as copy:
        events = await turn(copy, UserInput("and?"), "turn_complete")
        assert data(events, "turn_complete")[0]["text"] == "I see"
    assert (lab.workspace / "log").read_text() == "one\n"
