"""Runs in a sandbox: their states, their log, found again by another process, stopped, lost with their machine."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ml_intern.execution.call import ToolError
from ml_intern.runs.backends.base import RunPlan, RunStatus
from ml_intern.runs.backends.sandbox_runs import SandboxRuns
from tests.execution.conftest import until
from tests.fakes.hub import FakeHub
from tests.tools.hub.conftest import HubBench

SCRIPT = "import os, sys\nprint('args', sys.argv[1:], os.environ['MODE'])\n"


class Runs:
    """The backend with a sandbox of the bench's thread."""

    def __init__(self, bench: HubBench) -> None:
        self.bench = bench
        self.backend = SandboxRuns(bench.store)

    async def launch(self, *command: str, id: str = "run1", limit_s: float = 60.0, **choices: Any) -> str:
        plan = RunPlan("sandbox", "a run", self.bench.workspace, command=command, limit_s=limit_s, **choices)
        return await self.backend.launch(plan, id, self.bench.context())

    async def ended(self, handle: str) -> RunStatus:
        async with asyncio.timeout(30):
            while (observed := await self.backend.inspect(handle)).state == "running":  # noqa: ASYNC110 elsewhere
                await asyncio.sleep(0.1)
        return observed

    async def log(self, handle: str) -> str:
        path = self.bench.workspace / "log.txt"
        await self.backend.fetch_log(handle, path)
        return path.read_text()


@pytest.fixture
async def runs(sandboxed: HubBench) -> Runs:
    assert (await sandboxed.run("sandbox", operation="create")).ok
    return Runs(sandboxed)


async def test_every_end_has_its_state_and_its_log(runs: Runs) -> None:
    cases = [
        ("echo well", 60.0, "succeeded", 0),
        ("echo ill; exit 7", 60.0, "failed", 7),
        ("sleep 60", 1.0, "timeout", 124),
    ]
    for number, (command, limit, state, code) in enumerate(cases):
        handle = await runs.launch("sh", "-c", command, id=f"run{number}", limit_s=limit)
        observed = await runs.ended(handle)
        assert (observed.state, observed.exit_code) == (state, code)
    handle = await runs.launch(script=SCRIPT, script_args=("--lr", "1"), environment={"MODE": "smoke"}, id="script")
    assert (await runs.ended(handle)).state == "succeeded"
    assert "args ['--lr', '1'] smoke" in await runs.log(handle)


async def test_a_log_has_each_line_once(runs: Runs) -> None:
    handle = await runs.launch("sh", "-c", "for n in 1 2 3 4 5 6; do echo line $n; sleep 0.2; done")
    while (await runs.backend.inspect(handle)).state == "running":
        await runs.log(handle)
    assert await runs.log(handle) == "".join(f"line {n}\n" for n in range(1, 7))


async def test_it_is_found_again_and_not_started_twice(runs: Runs) -> None:
    made = Path(runs.bench.store.home) / "count"
    assert await runs.backend.find("run1") is None
    first = await runs.launch("sh", "-c", f"echo x >> {made}; sleep 60")
    again = SandboxRuns(runs.bench.store)
    found = await again.find("run1")
    assert found is not None
    assert (await again.inspect(found)).state == "running"
    await runs.launch("sh", "-c", f"echo x >> {made}; sleep 60")
    await until(made.exists)
    await again.cancel(found)
    assert (await runs.ended(first)).state == "cancelled"
    assert made.read_text() == "x\n"


async def test_it_is_lost_with_its_sandbox(hub: FakeHub, runs: Runs) -> None:
    handle = await runs.launch("sleep", "60")
    assert "load" in await runs.backend.usage(handle)
    for job in hub.jobs.found.values():
        hub.jobs.cancel(job)
    assert (await runs.backend.inspect(handle)).reason == "its sandbox is gone"
    with pytest.raises(ToolError, match="this thread has no sandbox"):
        await runs.launch("true", id="run2")


async def test_the_tool_jobs_starts_one_and_tells_its_end(runs: Runs) -> None:
    args = {"operation": "run", "backend": "sandbox", "timeout": "5m"}
    started = await runs.bench.run("jobs", **args, command="echo '{\"loss\": 0.25}'; exit 4")
    id = started.text.split()[0]
    told = (await runs.bench.run("jobs", operation="wait", run=id, seconds=30)).text
    assert "failed; exit code 4" in told
    assert "loss 0.25" in told
    refused = await runs.bench.run("jobs", **args, command="true", hardware="t4-small")
    assert "hardware, image and namespace require backend hub" in refused.text
