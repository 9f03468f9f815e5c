"""The jobs tool runs the preflight checks before it starts a run, and records every run as an experiment."""

import asyncio
import json
from typing import Any

from ml_intern.execution.call import ToolResult
from ml_intern.execution.run import judge
from ml_intern.runs.poll import poll
from ml_intern.store.runs import RunRow
from tests.execution.conftest import Bench
from tests.fakes.hub import FakeHub
from tests.tools.hub.conftest import HubBench

SCRIPT = """# /// script
# dependencies = []
# ///
import json
import subprocess
import sys

class Trainer:
    def train(self, steps):
        print(json.dumps({"loss": 1.0 / steps}), flush=True)

trainer = Trainer()
trainer.train(int(sys.argv[1]))
UPLOAD = ["hf", "upload"]
"""


async def run_it(desk: HubBench, steps: int, **args: Any) -> ToolResult:
    return await desk.run("jobs", operation="run", script="train.py", args=[str(steps)], **args)


async def ended(desk: HubBench) -> RunRow:
    row = (await desk.store.runs.list())[-1]
    async with asyncio.timeout(60):
        while (row := await poll(desk.store, row)).open:  # noqa: ASYNC110 nothing tells of another process
            await asyncio.sleep(0.05)
    return row


async def test_a_job_starts_only_after_a_smoke_run(hub: FakeHub, desk: HubBench) -> None:
    desk.file("train.py", SCRIPT)
    job = {"backend": "hub", "hardware": "cpu-basic", "timeout": "5m", "secrets": ["HF_TOKEN"]}
    refused = await run_it(desk, 4, **job)
    assert (refused.status, refused.ok) == ("refused", False)
    assert "[smoke] no run of this script has succeeded yet; first run it locally" in refused.text
    assert await desk.store.runs.list() == []
    assert (await run_it(desk, 2, name="smoke")).ok
    assert (await ended(desk)).state == "succeeded"
    launched = await run_it(desk, 4, name="whole", **job)
    assert launched.ok, launched.text
    assert (await ended(desk)).state == "succeeded"
    best = (await desk.run("experiments", operation="best", metric="loss")).text.splitlines()
    assert ["whole: loss 0.25" in best[0], "smoke: loss 0.5" in best[1]] == [True, True]
    ids = [row.id for row in await desk.store.experiments.list()]
    compared = (await desk.run("experiments", operation="compare", ids=ids)).text
    assert "backend | local | hub" in compared
    assert 'arguments | ["2"] | ["4"]' in compared


async def test_an_override_is_noted_in_the_result(hub: FakeHub, desk: HubBench) -> None:
    desk.file("train.py", SCRIPT)
    job = {"backend": "hub", "hardware": "cpu-basic", "timeout": "5m", "secrets": ["HF_TOKEN"], "override": ["smoke"]}
    launched = await run_it(desk, 4, **job)
    assert launched.ok, launched.text
    assert "note: overridden: [smoke] no run of this script has succeeded yet" in launched.text
    await ended(desk)


async def test_an_unknown_override_is_refused_with_the_valid_names(bench: Bench) -> None:
    refused = await bench.run("jobs", operation="run", command="true", override=["everything"])
    assert refused.status == "invalid"
    assert "one_first" in refused.text


async def test_a_broken_script_is_refused_locally_too(desk: HubBench, hub: FakeHub) -> None:
    desk.file("train.py", SCRIPT + "import wandb\n")
    assert "[imports] no installed package or dependency provides wandb" in (await run_it(desk, 1)).text
    desk.file("train.py", "def (:\n")
    assert "[script] " in (await run_it(desk, 1)).text
    assert json.dumps([row.id for row in await desk.store.runs.list()]) == "[]"


async def test_a_run_that_the_checks_refuse_needs_no_approval(hub: FakeHub, desk: HubBench) -> None:
    desk.file("train.py", SCRIPT)
    args = {"operation": "run", "backend": "hub", "script": "train.py", "timeout": "5m", "secrets": ["HF_TOKEN"]}
    context = desk.context(mode="ask")
    refused = await judge(desk.call("jobs", args), context)
    assert (refused.kind, "[smoke]" in refused.why) == ("deny", True)
    assert (await judge(desk.call("jobs", {**args, "override": ["smoke"]}), context)).kind == "ask"


async def test_a_background_command_that_runs_a_script_is_recorded_as_an_experiment(bench: Bench) -> None:
    bench.file("train.py", "print('loss=0.5')\n")
    for command in ("true", "python3 train.py"):
        assert (await bench.run("bash", command=command, background=True)).ok
    assert [row.name for row in await bench.store.experiments.list()] == ["python3 train.py"]
