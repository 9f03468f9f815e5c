"""Local runs: detached, supervised, stopped with all they started, and found again."""

import asyncio
import json
import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.execution.call import ToolCall
from ml_intern.execution.run import run_call
from ml_intern.runs.backends.registry import backend_of
from ml_intern.runs.launch import run_id
from ml_intern.runs.poll import NEVER, poll, stop
from ml_intern.runs.run_folder import make_run_folder, read_status, write_status
from ml_intern.sandbox.bubblewrap import sandbox_problem
from ml_intern.store.runs import RunRow
from tests.execution.conftest import Bench, alive, until

SUPERVISE = "from ml_intern.runs import supervisor; supervisor.main()"


async def started(bench: Bench, command: str, **args: Any) -> RunRow:
    result = await bench.run("bash", command=command, background=True, **args)
    assert result.ok, result.text
    return (await bench.store.runs.list())[-1]


async def ended(bench: Bench, row: RunRow) -> RunRow:
    async with asyncio.timeout(60):
        while (row := await poll(bench.store, row)).open:  # noqa: ASYNC110 nothing tells of another process
            await asyncio.sleep(0.02)
    return row


async def test_a_run_returns_at_once_and_its_end_is_written_down(bench: Bench) -> None:
    row = await started(bench, "echo \"{'loss': 0.5, 'step': 3}\"; printf '1%%\\r100%%\\n'; echo last; exit 3")
    row = await ended(bench, row)
    assert (row.state, row.exit_code, row.cost_usd) == ("failed", 3, 0.0)
    assert json.loads(row.metrics) == {"loss": 0.5, "step": 3.0}
    assert row.tail.splitlines() == ["{'loss': 0.5, 'step': 3}", "100%", "last"]
    assert row.started is not None
    assert row.finished is not None
    assert row.finished >= row.started


async def test_a_metric_in_a_last_line_without_a_newline_counts(bench: Bench) -> None:
    row = await ended(bench, await started(bench, "printf 'loss=0.5\\nloss=0.25'"))
    assert json.loads(row.metrics) == {"loss": 0.25}


async def test_what_forks_away_ends_with_the_run(bench: Bench) -> None:
    pid_file = bench.workspace / "pid"
    row = await started(bench, f"setsid bash -c 'echo $$ > {pid_file}; exec sleep 600' & sleep 0.3; true")
    row = await ended(bench, row)
    assert row.state == "succeeded"
    assert not alive(int(pid_file.read_text()))


async def test_a_limit_ends_it_with_all_its_processes(bench: Bench) -> None:
    row = await started(bench, "sleep 600 & sleep 600", timeout=1)
    row = await ended(bench, row)
    assert (row.state, row.reason) == ("timeout", "it reached its time limit of 1 s")


async def test_a_run_that_dies_at_once_says_so(bench: Bench) -> None:
    row = await ended(bench, await started(bench, "exec /nothing/there"))
    assert row.state == "failed"
    assert "No such file" in row.tail


async def test_binary_output_is_kept_readable(bench: Bench) -> None:
    row = await ended(bench, await started(bench, "head -c 3000 /dev/urandom; echo; echo fine"))
    assert row.state == "succeeded"
    assert row.tail.endswith("fine\n")
    assert row.tail.isprintable() or "\\x" in row.tail


async def test_cancelling_stops_it_and_is_final(bench: Bench) -> None:
    row = await started(bench, "sleep 600")
    result = await bench.run("jobs", operation="cancel", run=row.id)
    assert "cancelled" in result.text
    again = await bench.run("jobs", operation="cancel", run=row.id)
    assert "has already ended" in again.text


async def test_a_killed_supervisor_means_lost_and_takes_its_command_along(bench: Bench) -> None:
    pid_file = bench.workspace / "pid"
    row = await started(bench, f"echo $$ > {pid_file}; exec sleep 600")
    await until(lambda: pid_file.exists() and bool(pid_file.read_text()))
    os.kill(json.loads(row.handle or "")["pid"], signal.SIGKILL)
    row = await ended(bench, row)
    assert row.state == "lost"
    assert "supervisor was killed" in row.reason
    await until(lambda: not alive(int(pid_file.read_text())))


async def test_a_run_that_is_launched_again_under_its_id_runs_once(bench: Bench) -> None:
    call = bench.call("bash", {"command": "echo run >> times; sleep 0.2", "background": True})
    await run_call(call, bench.context())
    [row] = await bench.store.runs.list()
    again = ToolCall("bash", call.args, "other", call.message_id, call.index)
    await bench.store.journal.start(call.key(row.thread_id), "bash", "d")  # as after a crash in it
    result = await run_call(again, bench.context())
    assert row.id in result.text
    await ended(bench, row)
    assert (bench.workspace / "times").read_text() == "run\n"
    assert len(await bench.store.runs.list()) == 1


async def test_a_run_that_was_written_down_and_never_launched_never_starts(bench: Bench) -> None:
    await bench.store.runs.add(RunRow("run-x", "t", "true", "queued"))
    row = await poll(bench.store, (await bench.store.runs.list())[0])
    assert (row.state, row.reason) == ("lost", NEVER)


async def test_stopping_a_run_before_its_launch_keeps_it_from_starting(bench: Bench) -> None:
    await bench.store.runs.add(RunRow("run-y", "t", "true", "queued"))
    row = await stop(bench.store, (await bench.store.runs.list())[0])
    assert row.state == "cancelled"


async def test_a_script_runs_with_its_arguments_as_it_was(bench: Bench) -> None:
    script = bench.file("train.py", "import sys, time\ntime.sleep(0.3)\nprint('first', sys.argv[1:])\n")
    result = await bench.run("jobs", operation="run", script="train.py", args=["a", "b"])
    assert result.ok, result.text
    script.write_text("print('second')")
    row = await ended(bench, (await bench.store.runs.list())[0])
    assert row.tail == "first ['a', 'b']\n"
    assert row.command == "train.py a b"


async def test_a_named_secret_reaches_that_run_alone_and_never_its_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_TOKEN", "probe-secret-value-7421")
    show = 'echo "has=${PROBE_TOKEN:+yes}"; echo $PROBE_TOKEN'
    context = bench.context(mode="yolo")
    for secrets in ([], ["PROBE_TOKEN"]):
        call = bench.call("bash", {"command": show, "background": True, "secrets": secrets})
        result = await run_call(call, context)
        assert result.ok, result.text
    without, given = [await ended(bench, row) for row in await bench.store.runs.list()]
    assert without.tail.splitlines()[0] == "has="
    assert given.tail.splitlines() == ["has=yes", "[redacted:PROBE_TOKEN]"]
    assert "probe-secret" not in Path(given.log).read_text()


async def test_its_use_of_the_machine_is_shown_while_it_runs(bench: Bench) -> None:
    row = await started(bench, "touch begun; exec sleep 600")
    await until((bench.workspace / "begun").exists)
    try:
        text = (await bench.run("jobs", operation="inspect", run=row.id)).text
        assert re.search(r"process(es)?, CPU", text)
        assert "memory" in text
    finally:
        await backend_of("local", bench.store).cancel(row.handle or "")


async def test_logs_can_be_read_on_from_an_offset(bench: Bench) -> None:
    row = await ended(bench, await started(bench, "seq 1 5"))
    text = (await bench.run("jobs", operation="logs", run=row.id, lines=2)).text
    assert text.startswith("4\n5\n[succeeded")
    text = (await bench.run("jobs", operation="logs", run=row.id, offset=4)).text
    assert text == "3\n4\n5\n[succeeded; next offset 10]"


@pytest.mark.skipif(sandbox_problem() is not None, reason="there is no bubblewrap")
async def test_variables_that_the_model_sets_make_the_sandbox_no_wider(bench: Bench) -> None:
    home = bench.workspace.parent / "private"
    home.mkdir()
    (home / "key.txt").write_text("private")
    named = {"UV_CACHE_DIR": str(home), "HF_HOME": str(home), "PATH": f"{home}:{os.environ['PATH']}", "PROBE": "here"}
    show = f"echo $PROBE; cat {home}/key.txt; touch {home}/made"
    call = bench.call("jobs", {"operation": "run", "command": show, "env": named})
    context = bench.context()
    sandboxed = replace(context, options=replace(context.options, sandbox="off"), sandbox_profile="bwrap network off")
    result = await run_call(call, sandboxed)
    assert result.ok, result.text
    row = await ended(bench, (await bench.store.runs.list())[0])
    assert row.tail.splitlines()[0] == "here"
    assert row.tail.count("No such file") == 2
    assert not (home / "made").exists()


async def test_a_file_that_holds_secrets_is_no_script(bench: Bench) -> None:
    bench.file(".env", "KEY=1\n")
    assert "cannot be run as a script" in (await bench.run("jobs", operation="run", script=".env")).text


async def test_the_whole_log_can_be_read_and_nothing_else_of_the_run(bench: Bench) -> None:
    row = await ended(bench, await started(bench, "seq 1 5"))
    assert "3" in (await bench.run("read", path=row.log)).text
    other = await bench.run("read", path=str(Path(row.log).with_name("status.json")))
    assert not other.ok


async def test_faults_of_a_call_are_one_line_with_the_remedy(bench: Bench) -> None:
    for args, said in (
        ({"operation": "run"}, "either command or script"),
        ({"operation": "run", "command": "true", "timeout": "soon"}, "use 45m, 6h or 2d"),
        ({"operation": "run", "script": "none.py"}, "there is no script"),
        ({"operation": "run", "command": "true", "hardware": "a100"}, "set backend to hub"),
        ({"operation": "logs", "run": "run-zzz"}, "there is no run"),
        ({"operation": "run", "command": "true", "workdir": "nowhere"}, "there is no folder"),
    ):
        result = await bench.run("jobs", **args)
        assert not result.ok
        assert said in result.text
    assert await bench.store.runs.list() == []


async def test_policy_looks_at_a_command_as_it_does_for_bash(bench: Bench) -> None:
    result = await bench.run("jobs", operation="run", command="rm -rf /")
    assert result.status == "refused"


async def test_a_full_disk_ends_the_run_with_that_word(bench: Bench) -> None:
    order = {
        "id": "run-full", "argv": ["bash", "-c", "head -c 4000000 /dev/zero | tr '\\0' 'y' | fold; sleep 600"],
        "readable": [], "writable": [], "folder": str(bench.workspace), "environment": {"PATH": os.environ["PATH"]},
        "further": {}, "secrets": [], "roots": [], "launched_with": [], "read": [],
        "known_secrets": {}, "limit_s": 60.0, "slots": 0, "sandbox": None,
    }  # fmt: skip
    folder = make_run_folder(bench.store.home, "run-full")
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); {SUPERVISE}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", limited, str(folder), stdin=asyncio.subprocess.PIPE
    )
    await process.communicate(json.dumps(order).encode())
    status = read_status(folder)
    assert status["state"] == "failed"
    assert "the disk is full" in status["reason"]


async def test_setting_the_clock_changes_neither_the_limit_nor_the_length_of_a_run(bench: Bench) -> None:
    row = await started(bench, "sleep 600", timeout=1)
    folder = Path(json.loads(row.handle or "")["folder"])
    row = await ended(bench, row)
    status = read_status(folder)
    jumped = {**status, "finished": status["finished"] - 86_400}  # as if the clock was set back meanwhile
    write_status(folder, jumped)
    seen = await backend_of("local", bench.store).inspect(row.handle or "")
    assert seen.state == "timeout"
    assert 0.9 < (seen.finished or 0) - (seen.started or 0) < 30


async def test_a_launch_that_was_cut_off_is_gone_on_with_although_the_checks_would_refuse_it_now(bench: Bench) -> None:
    script = bench.file("train.py", "print('ran once')\n")
    call = bench.call("jobs", {"operation": "run", "script": "train.py"})
    context = replace(bench.context(), call_id=call.id, key=call.key(bench.context().thread_id))
    await bench.store.runs.add(RunRow(run_id(context), context.thread_id, "train.py", "queued", call=context.mark))
    await bench.store.journal.start(call.key(context.thread_id), "jobs", "d")
    script.write_text("print('ran once')\nthis is no python\n")
    refused = await bench.run("jobs", operation="run", script="train.py")
    assert not refused.ok
    result = await run_call(call, bench.context())
    assert run_id(context) in result.text
    assert len(await bench.store.runs.list()) == 1
