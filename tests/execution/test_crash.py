"""The agent is killed with SIGKILL while a command runs, and started again, perhaps without the call's tool."""

import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

from ml_intern.execution.run import run_call
from tests.execution.conftest import THREAD, Bench, alive

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "echo ran >> log; setsid sleep 600 & echo $! > pid.1; sleep 600 & echo $! > pid.2; touch ready; wait"
AGENT = """
import asyncio, sys
from pathlib import Path
from ml_intern.graph.context import RunOptions
from ml_intern.models.gateway import Models
from ml_intern.store.store import Store
from ml_intern.execution.call import ToolCall
from ml_intern.execution.tool import Services, ThreadScope, ToolContext
from ml_intern.tools.registry import create_builtin_tools
from ml_intern.execution.run import run_call

async def main(home, workspace, thread, command):
    options = RunOptions(model="none", workspace=workspace, approval_mode="auto")
    async with await Store.open(Path(home)) as store:
        services = Services(Models(store.ledger), create_builtin_tools(), store, options)
        services.scopes.open(thread, ThreadScope())
        context = ToolContext(thread, thread, Path(workspace), options, services, lambda type, **data: None)
        result = await run_call(ToolCall("bash", {"command": command}, "call_0", "msg_1", 0), context)
        print(result.status, result.text)

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_command_does_not_run_again_and_none_of_its_processes_survive(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    agent = [sys.executable, "-c", AGENT, str(tmp_path / "home"), str(workspace), str(uuid4()), COMMAND]
    first = subprocess.Popen(agent, cwd=ROOT)
    deadline = time.monotonic() + 60
    while not (workspace / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    first.kill()
    first.wait()
    pids = [int((workspace / name).read_text()) for name in ("pid.1", "pid.2")]
    assert [alive(pid) for pid in pids] == [True, True]
    second = subprocess.run(agent, cwd=ROOT, capture_output=True, text=True, check=True)
    assert second.stdout.startswith("interrupted error: interrupted: the process died during this call")
    assert (workspace / "log").read_text() == "ran\n"
    assert [alive(pid) for pid in pids] == [False, False]
    third = subprocess.run(agent, cwd=ROOT, capture_output=True, text=True, check=True)
    assert third.stdout == second.stdout


async def test_an_interrupted_call_is_reported_also_if_its_tool_is_gone(bench: Bench) -> None:
    call = bench.call("lookup", {})
    await bench.store.journal.start(call.key(THREAD), "lookup", "digest")
    result = await run_call(call, bench.context())
    assert (result.status, "it may have run in part" in result.text) == ("interrupted", True)
    assert await bench.store.journal.open_calls(THREAD) == []
