"""The statuses of all threads: questions of those that wait, metrics of the runs that are open."""

import json

from ml_intern.graph.operations import Interrupt, UserInput
from ml_intern.session.threads import LocalThreads
from ml_intern.store.runs import RunRow
from tests.session.conftest import Lab, bash, turn


def ignore(*_: str) -> None:
    pass


async def test_a_waiting_thread_has_its_question_and_a_run_its_metric(lab: Lab) -> None:
    model = lab.script({"tool_calls": [bash("touch a")]}, {"text": "ok"})
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, UserInput("go"))
        store = session.services.store
        threads = LocalThreads(store, ignore)
        run = RunRow("run-1", session.thread_id, "python train.py", name="sweep", metrics=json.dumps({"loss": 0.3125}))
        await store.runs.add(run)
        [status] = await threads.statuses()
        assert (status.row.id, status.row.state) == (session.thread_id, "waiting")
        assert [one["args"] for one in status.requests] == [{"command": "touch a"}]
        assert status.metric == "sweep loss 0.3125"
        await turn(session, Interrupt())
        [status] = await threads.statuses()
        assert status.requests == ()
