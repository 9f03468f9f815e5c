"""Sandboxes with the real client: use, cost, loss, end with the session, and cleanup after a crash."""

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from ml_intern.execution.call import ToolResult
from ml_intern.execution.run import run_call
from ml_intern.runs.backends import hub_labels
from ml_intern.runs.backends.hub_sandbox import LABEL, Sandboxes, sandboxes_of
from ml_intern.runs.backends.sandbox_records import SandboxRecord
from ml_intern.tools.compute.remote_tools import remote_tools
from ml_intern.tools.registry import create_builtin_tools
from tests.execution.conftest import THREAD, until
from tests.fakes.hub import FakeHub
from tests.fakes.hub.jobs import Job
from tests.tools.hub.conftest import HubBench


@pytest.fixture
def remote(sandboxed: HubBench) -> HubBench:
    """Tools as with --tool-runtime sandbox."""
    sandboxed.services = replace(sandboxed.services, tools={**create_builtin_tools(), **remote_tools()})
    return sandboxed


def only(hub: FakeHub) -> Job:
    (job,) = hub.jobs.found.values()
    return job


async def ok(answer: ToolResult) -> str:
    assert answer.ok, answer.text
    return answer.text


async def test_the_tool_creates_a_sandbox_runs_commands_copies_files_and_ends_it(
    hub: FakeHub, sandboxed: HubBench
) -> None:
    bench = sandboxed
    bench.file("data.csv", "a,b\n1,2\n")
    assert "no sandbox; create one first" in (await bench.run("sandbox", operation="run", command="true")).text
    created = (await bench.run("sandbox", operation="create", idle_minutes=5)).text
    assert f"sandbox {only(hub).id} runs on cpu-basic" in created
    assert only(hub).spec["environment"]["SBX_IDLE_TIMEOUT"] == "300"
    await bench.run("sandbox", operation="upload", local="data.csv")
    ran = await bench.run("sandbox", operation="run", command="wc -l data.csv; echo out > made.txt; exit 3")
    assert ("2 data.csv" in ran.text, ran.ok) == (True, False)
    assert "exit code 3" in ran.text
    assert "data.csv  8 bytes" in (await bench.run("sandbox", operation="files")).text
    await bench.run("sandbox", operation="download", path="made.txt", local="made.txt")
    assert (bench.workspace / "made.txt").read_text() == "out\n"
    assert "exists" in (await bench.run("sandbox", operation="download", path="made.txt", local="made.txt")).text
    await bench.run("sandbox", operation="delete", path="made.txt")
    assert "made.txt" not in (await bench.run("sandbox", operation="files")).text
    ended = (await bench.run("sandbox", operation="kill")).text
    assert "and its files deleted; it cost about $0.0" in ended
    assert only(hub).stage == "CANCELED"
    assert (await bench.store.ledger.total(THREAD)).open_requests == 0


async def test_the_price_is_reserved_before_and_settled_after(hub: FakeHub, sandboxed: HubBench) -> None:
    await sandboxed.run("sandbox", operation="create", hardware="t4-small")
    totals = await sandboxed.store.ledger.total(THREAD)
    assert totals.open_requests == 1
    await asyncio.sleep(1)
    await sandboxed.run("sandbox", operation="kill")
    totals = await sandboxed.store.ledger.total(THREAD)
    assert (totals.open_requests, 0 < totals.cost_usd < 0.01) == (0, True)
    dear = await sandboxed.run("sandbox", operation="create", hardware="a1000")
    assert "unknown hardware 'a1000'" in dear.text
    assert len(hub.jobs.found) == 1


async def test_bash_read_write_and_edit_work_in_the_sandbox_and_not_locally(hub: FakeHub, remote: HubBench) -> None:
    assert "hello there" in await ok(await remote.run("bash", command="echo hello there; echo two > b.txt"))
    await ok(await remote.run("write", path="src/a.py", content="x = 1\nprint(x)\n"))
    assert "read it first" in (await remote.run("write", path="b.txt", content="three")).text
    assert "two" in await ok(await remote.run("read", path="b.txt"))
    await ok(await remote.run("write", path="b.txt", content="three\n"))
    assert "+x = 2" in await ok(await remote.run("edit", path="src/a.py", old="x = 1", new="x = 2"))
    assert await ok(await remote.run("bash", command="python src/a.py; cat b.txt; pwd", workdir=".")) != ""
    assert "src/\nb.txt  6 bytes" in await ok(await remote.run("read", path="."))
    assert "there is no file src/none.py" in (await remote.run("read", path="src/none.py")).text
    place = hub.jobs.folder / only(hub).id / "workspace"
    assert (place / "src/a.py").read_text() == "x = 2\nprint(x)\n"
    assert (place / "b.txt").read_text() == "three\n"
    assert list(remote.workspace.iterdir()) == []
    await remote.run("bash", command="echo four > b.txt")
    assert "has changed since it was read" in (await remote.run("edit", path="b.txt", old="four", new="5")).text


async def test_long_output_is_saved_locally_and_binary_output_is_handled(remote: HubBench) -> None:
    long = await remote.run("bash", command="seq 1 60000; printf '\\377\\000'")
    assert long.artifact
    assert Path(long.artifact).read_text(errors="replace").count("\n") >= 60000
    assert "59999" in await ok(await remote.run("read", path=long.artifact, offset=59999, limit=1))


async def test_a_command_is_stopped_at_its_timeout_and_when_the_user_interrupts(hub: FakeHub, remote: HubBench) -> None:
    late = await remote.run("bash", command="echo begun; sleep 60", timeout=1)
    assert ("begun" in late.text, late.status) == (True, "timeout")
    running = asyncio.create_task(remote.run("bash", command="sleep 61"))
    await until(lambda: _processes("sleep 61") == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: _processes("sleep 61") == 0)


def _processes(words: str) -> int:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return sum(line.strip() == words for line in listed.splitlines())


async def test_a_lost_sandbox_is_reported_before_a_new_one_is_started(hub: FakeHub, remote: HubBench) -> None:
    await ok(await remote.run("bash", command="echo 1 > a.txt"))
    hub.jobs.cancel(only(hub))
    lost = await remote.run("bash", command="cat a.txt")
    assert not lost.ok
    assert "is gone (canceled), including its files" in lost.text
    assert len(hub.jobs.found) == 1
    assert (await remote.store.ledger.total(THREAD)).open_requests == 0
    assert "No such file" in (await remote.run("bash", command="cat a.txt")).text
    assert len(hub.jobs.found) == 2


async def test_a_sandbox_ends_with_the_session_and_the_next_call_reports_it(hub: FakeHub, remote: HubBench) -> None:
    await ok(await remote.run("bash", command="true"))
    assert await sandboxes_of(remote.store).close() == [f"ended sandbox {only(hub).id} and deleted its files"]
    assert only(hub).stage == "CANCELED"
    assert (await remote.store.ledger.total(THREAD)).open_requests == 0
    assert "is gone (it was ended when its session closed)" in (await remote.run("bash", command="true")).text
    await ok(await remote.run("bash", command="true"))
    assert len(hub.jobs.found) == 2


def _killed(sandboxes: Sandboxes, record: SandboxRecord) -> None:
    """Mark a sandbox as if its process had been killed."""
    record.pid_started = "0"
    sandboxes.records.save(record)


async def test_the_sandbox_of_a_killed_session_is_ended_at_the_next_start(hub: FakeHub, remote: HubBench) -> None:
    await ok(await remote.run("bash", command="true"))
    ours = sandboxes_of(remote.store)
    (record,) = ours.records.all()
    later = Sandboxes(remote.store)
    assert await later.sweep() == []  # its process is running
    record.host = "another machine"
    _killed(ours, record)
    assert await later.sweep() == []  # unknown from this machine
    record.take()
    _killed(ours, record)
    assert await later.sweep(keep=THREAD) == []  # the thread continues with it
    assert only(hub).stage == "RUNNING"
    assert await later.sweep() == [f"ended sandbox {only(hub).id}, which a killed session left running"]
    assert only(hub).stage == "CANCELED"
    assert (await remote.store.ledger.total(THREAD)).open_requests == 0
    assert await later.sweep() == []


async def test_a_sandbox_whose_creation_was_interrupted_is_found_by_its_label(hub: FakeHub, remote: HubBench) -> None:
    await ok(await remote.run("bash", command="true"))
    ours = sandboxes_of(remote.store)
    (record,) = ours.records.all()
    record.job_id = ""
    _killed(ours, record)
    assert len(await Sandboxes(remote.store).sweep()) == 1
    assert only(hub).stage == "CANCELED"


async def test_a_kill_leaves_the_users_own_jobs_alone(hub: FakeHub, remote: HubBench, client: HfApi) -> None:
    await ok(await remote.run("bash", command="true"))
    sandbox = only(hub)
    hub.jobs.filters_labels = False
    own = client.run_job(image="x", command=["sleep", "60"], namespace="ada")
    assert f"sandbox {sandbox.id} was ended" in await ok(await remote.run("sandbox", operation="kill"))
    assert (sandbox.stage, hub.jobs.found[own.id].ended) == ("CANCELED", False)


async def test_an_interrupted_creation_with_two_candidates_ends_neither(
    hub: FakeHub, remote: HubBench, client: HfApi
) -> None:
    await ok(await remote.run("bash", command="true"))
    ours = sandboxes_of(remote.store)
    (record,) = ours.records.all()
    record.job_id = ""
    _killed(ours, record)
    twin = client.run_job(image="x", command=["sleep", "60"], labels={LABEL: record.id}, namespace="ada")
    (line,) = await Sandboxes(remote.store).sweep()
    assert "2 jobs have the label" in line
    assert "none was changed" in line
    assert [job.ended for job in hub.jobs.found.values()] == [False, False]
    hub.jobs.found[twin.id].spec["labels"] = {}
    assert len(await Sandboxes(remote.store).sweep()) == 1
    assert (hub.jobs.found[twin.id].ended, len(hub.jobs.running())) == (False, 1)


async def test_a_sandbox_that_goes_on_is_not_reported_as_ended(
    hub: FakeHub, remote: HubBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ok(await remote.run("bash", command="true"))
    monkeypatch.setattr(hub_labels, "CANCEL_SECONDS", 0.0)
    monkeypatch.setattr(hub.jobs, "cancel", lambda _job: None)
    answer = await remote.run("sandbox", operation="kill")
    assert not answer.ok
    assert "is still running; try again" in answer.text
    monkeypatch.undo()
    assert only(hub).stage == "RUNNING"


async def test_a_continued_thread_finds_its_sandbox_again(hub: FakeHub, remote: HubBench) -> None:
    await ok(await remote.run("bash", command="echo kept > a.txt"))
    ours = sandboxes_of(remote.store)
    (record,) = ours.records.all()
    _killed(ours, record)
    again = Sandboxes(remote.store)
    found = await again.current(remote.context())
    assert found is not None
    assert await again.use(found, lambda machine: machine.files.read_text("/workspace/a.txt")) == "kept\n"
    assert [one.is_used for one in again.records.all()] == [True]
    assert len(hub.jobs.found) == 1
    await again.close()


async def test_a_failed_creation_leaves_no_record(
    hub: FakeHub, sandboxed: HubBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fail("/api/jobs/ada", 402, method="POST")
    assert "add credit" in (await sandboxed.run("sandbox", operation="create")).text
    assert sandboxes_of(sandboxed.store).records.all() == []
    assert (await sandboxed.store.ledger.total(THREAD)).open_requests == 0
    hub.clear_failures()
    monkeypatch.delenv("HF_TOKEN")
    assert "needs a token" in (await sandboxed.run("sandbox", operation="create")).text
    assert os.environ.get("HF_TOKEN") is None


async def test_an_insufficient_budget_is_reported(hub: FakeHub, sandboxed: HubBench) -> None:
    context = sandboxed.context()
    poor = replace(context, options=replace(context.options, max_budget_usd=0.1, approval_mode="yolo"))
    answer = await run_call(sandboxed.call("sandbox", {"operation": "create"}), poor)
    assert "of the budget of $0.10 is left" in answer.text
    assert not hub.jobs.found
