"""Runs as jobs of a real Slurm cluster of one node."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ml_intern.execution.call import ToolError
from ml_intern.runs.backends.base import LaunchesTogether, RunPlan
from ml_intern.runs.backends.registry import backend_of
from ml_intern.runs.poll import poll, stop
from ml_intern.store.runs import RunRow
from tests.execution.conftest import Bench, until
from tests.runs.remote.conftest import RemoteBench, check_that_everything_ends
from tests.runs.remote.slurm import cluster, free_the_node, missing_programs


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> object:
    if missing := missing_programs():
        pytest.skip(f"needs Slurm's {', '.join(missing)}")
    with ExitStack() as stack:
        try:
            found = stack.enter_context(cluster(tmp_path_factory.mktemp("slurm")))
        except RuntimeError as error:
            pytest.skip(f"needs a Slurm that starts here: {error}")
        yield found


@pytest.fixture
def box(bench: Bench, configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteBench]:
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    found = RemoteBench(bench.store, bench.workspace, bench.services)
    found.target = {"kind": "slurm", "workdir": str(tmp_path / "there"), "squeue_s": 0.5}
    found.patience = 100  # the longest test takes 29 s on a quiet machine
    yield found
    free_the_node(configuration)


def jobs_in_queue(name: str) -> list[str]:
    return subprocess.run(
        ["squeue", "-h", "--array", f"--name={name}", "--format=%i"], capture_output=True, text=True, check=True
    ).stdout.split()


async def kill_jobs(jobs: list[str]) -> None:
    process = await asyncio.create_subprocess_exec("scancel", "--full", "--signal=KILL", *jobs)
    assert await process.wait() == 0


async def slurm(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


def read_text(box: RemoteBench, row: RunRow, name: str) -> str:
    """A file of the run's folder there; empty without it."""
    path = Path(box.target["workdir"]) / "runs" / row.id / name
    return path.read_text() if path.exists() else ""


async def test_a_job_runs_in_a_copy_of_the_workspace(box: RemoteBench) -> None:
    box.file("data/rows.txt", "one\ntwo\n")
    box.target["setup"] = "export FROM_SETUP=yes"
    row = await box.ended(
        await box.started(command="wc -l < data/rows.txt; echo $FROM_SETUP $SLURM_JOB_NAME; echo 'loss=0.5'; exit 3")
    )
    assert (row.state, row.exit_code, row.metrics) == ("failed", 3, '{"loss": 0.5}')
    assert row.tail.splitlines() == ["2", f"yes {row.id}", "loss=0.5"]


async def test_secrets_reach_the_job_and_stay_in_no_file(box: RemoteBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "wandb-secret-1")
    row = await box.ended(await box.started(command="echo ${#WANDB_API_KEY}", secrets=["WANDB_API_KEY"]))
    assert (row.state, row.tail.strip()) == ("succeeded", "14")
    there = [path.read_bytes() for path in Path(box.target["workdir"]).rglob("*") if path.is_file()]
    assert not any(b"wandb-secret-1" in content for content in there)


async def test_a_job_that_waits_says_why_and_is_cancelled(box: RemoteBench) -> None:
    box.target["sbatch"] = ["--begin=now+1hour"]
    row = await poll(box.store, await box.started(command="echo never"))
    assert (row.state, row.open) == ("queued", True)
    assert row.reason.startswith("waiting: BeginTime, starts about 20")
    assert (await stop(box.store, row)).state == "cancelled"
    assert jobs_in_queue(row.id) == []


async def test_a_job_that_can_never_start_says_so_with_the_remedy(box: RemoteBench) -> None:
    row = await poll(box.store, await box.started(command="true", nodes=4))
    async with asyncio.timeout(60):
        while "PartitionConfig" not in row.reason:  # the scheduler has not looked at it yet
            await asyncio.sleep(0.2)
            row = await poll(box.store, row)
    assert (row.state, "it will not start; cancel it, and ask for fewer nodes" in row.reason) == ("queued", True)
    assert (await stop(box.store, row)).state == "cancelled"


async def test_a_job_whose_use_of_the_node_cannot_be_written_continues(box: RemoteBench) -> None:
    box.target["sbatch"] = ["--hold"]
    row = await box.started(command="sleep 0.5; echo loss=0.5")
    (Path(box.target["workdir"]) / "runs" / row.id / "usage.txt.new").mkdir()
    await slurm("scontrol", "release", *jobs_in_queue(row.id))
    ended = await box.ended(row)
    assert (ended.state, ended.reason, ended.tail) == ("succeeded", "", "loss=0.5\n")


async def test_jobs_that_wait_for_their_turn_show_their_places_in_the_queue(box: RemoteBench) -> None:
    box.target["partition"] = "single"
    _, *waiting = [await box.started(command="sleep 600") for _ in range(3)]
    reasons = []
    for _ in range(300):
        reasons = [(await poll(box.store, row)).reason for row in waiting]
        if [reason.partition("place ")[2][:1] for reason in reasons] == ["1", "2"]:
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"no places: {reasons}")


async def test_cancelling_and_the_time_limit_end_everything_that_a_job_started(box: RemoteBench) -> None:
    await check_that_everything_ends(box)


async def test_a_job_that_somebody_else_killed_is_noticed(box: RemoteBench) -> None:
    row = await box.started(command="echo begun; sleep 600")
    await until(lambda: jobs_in_queue(row.id) != [])
    await kill_jobs(jobs_in_queue(row.id))
    row = await box.ended(row)
    assert (row.state, row.reason) == ("lost", "its job left the queue: unknown")


async def test_a_job_that_slurm_stops_is_lost_unless_it_may_start_again(box: RemoteBench) -> None:
    row = await box.started(command="echo begun; sleep 600")
    await until(lambda: read_text(box, row, "log.txt") != "")
    await slurm("scancel", *jobs_in_queue(row.id))
    row = await box.ended(row)
    assert (row.state, row.reason.partition(" (")[0]) == ("lost", "its job left the queue: Slurm stopped it")


async def test_a_job_that_is_put_back_in_the_queue_starts_again_with_its_files_and_secrets(
    box: RemoteBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "wandb-secret-1")
    box.target["requeue"] = True
    command = 'echo ${#WANDB_API_KEY}; if [ -e saved ]; then echo "step=2"; else touch saved; sleep 600; fi'
    row = await box.started(command=command, secrets=["WANDB_API_KEY"])
    await until(lambda: read_text(box, row, "log.txt") != "")
    (job,) = jobs_in_queue(row.id)
    await slurm("scontrol", "requeue", job)
    await until(lambda: read_text(box, row, "status.json").count('"queued"') == 1)
    assert (await poll(box.store, row)).state == "queued"
    await until(lambda: subprocess.run(["scontrol", "release", job], check=False).returncode == 0)
    await slurm("scontrol", "update", f"jobid={job}", "StartTime=now")
    row = await box.ended(row, seconds=240)
    printed = [line for line in row.tail.splitlines() if line != "Terminated"]  # said by bash
    assert (row.state, printed) == (
        "succeeded", ["14", "ml-intern: Slurm started it again (1)", "14", "step=2"],
    )  # fmt: skip
    assert read_text(box, row, "order.json") == ""


async def test_the_use_of_a_job_is_that_of_its_node(
    box: RemoteBench, stand_in: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("nvidia-smi", 'echo "0, 97, 70000, 81559, 612.5"; exit')
    monkeypatch.setenv("PATH", f"{box.workspace.parent}/programs:{os.environ['PATH']}")
    row = await box.started(command="sleep 600")
    await until(lambda: read_text(box, row, "usage.txt") != "")
    (box.workspace.parent / "programs" / "nvidia-smi").unlink()
    shown = (await box.jobs(operation="inspect", run=row.id)).text
    assert "GPU 0 97 %, 70000 of 81559 MB, 612.5 W" in shown
    await stop(box.store, row)


async def test_a_job_runs_in_the_image_of_its_target(box: RemoteBench, stand_in: Callable[[str, str], None]) -> None:
    """A program of that name stands in for srun with pyxis: it prints its options and runs the command."""
    stand_in("srun", 'while [ "${1#--}" != "$1" ]; do [ "${2#--}" = "$2" ] && break; echo "$1"; shift; done; echo "$1"')
    box.target |= {
        "container": "nvcr.io#nvidia/pytorch:24.05",
        "container_runtime": "pyxis",
        "setup": f"export PATH={box.workspace.parent}/programs:$PATH",
    }
    row = await box.ended(await box.started(command="echo trained"))
    work = Path(box.target["workdir"]) / "runs" / row.id / "work"
    assert row.tail.splitlines() == [
        "--ntasks=1", "--container-image=nvcr.io#nvidia/pytorch:24.05", f"--container-mounts={work}:{work}",
        f"--container-workdir={work}", "trained",
    ]  # fmt: skip


async def test_a_second_start_of_a_run_submits_nothing(box: RemoteBench) -> None:
    row = await box.started(command="sleep 60")
    backend, context = backend_of("slurm", box.store), box.context()
    plan = RunPlan("slurm", "other", box.workspace, ("bash", "-c", "exit 1"), target="box", limit_s=60)
    await asyncio.gather(*(backend.launch(plan, row.id, context) for _ in range(4)))
    assert len(jobs_in_queue(row.id)) == 1
    # The agent's machine died after sbatch and before the job's number was written: the job is found by its name.
    status = Path(box.target["workdir"]) / "runs" / row.id / "status.json"
    job = json.loads(status.read_text())["job"]
    await stop(box.store, row)
    assert (job, await backend.find(row.id)) == (job, row.handle)


async def test_a_submission_that_was_cut_off_is_found_by_its_name(box: RemoteBench, tmp_path: Path) -> None:
    counted = tmp_path / "bin"
    counted.mkdir()
    (counted / "sbatch").write_text('#!/bin/sh\n/usr/bin/sbatch "$@" > /dev/null\nexit 1\n')
    (counted / "sbatch").chmod(0o755)
    backend, context = backend_of("slurm", box.store), box.context()
    plan = RunPlan("slurm", "once", box.workspace, ("bash", "-c", "sleep 60"), target="box", limit_s=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{counted}:{os.environ['PATH']}")
        with pytest.raises(Exception, match="sbatch failed"):
            await backend.launch(plan, "run-cut", context)
    first = jobs_in_queue("run-cut")
    handle = await backend.launch(plan, "run-cut", context)
    assert len(first) == 1
    assert jobs_in_queue("run-cut") == first
    await backend.cancel(handle)


async def test_a_sweep_is_one_job_array_whose_runs_are_cancelled_one_by_one(box: RemoteBench) -> None:
    box.target["max_runs"] = 1
    result = await box.jobs(
        operation="sweep", target="box", command="echo f1={n}; [ {n} = 3 ] || sleep 600", parameters={"n": [1, 2, 3]}
    )
    assert result.ok, result.text
    rows = await box.store.runs.list()
    assert sorted(job.partition("_")[2] for job in jobs_in_queue(rows[0].id)) == ["0", "1", "2"]
    await until(lambda: read_text(box, rows[0], "log.txt") != "")
    waiting = await poll(box.store, rows[2])
    assert (waiting.state, waiting.reason) == ("queued", "waiting: JobArrayTaskLimit")
    assert (await stop(box.store, rows[1])).state == "cancelled"
    assert (await stop(box.store, rows[0])).state == "cancelled"
    last = await box.ended(rows[2])
    assert (last.state, last.metrics, read_text(box, rows[1], "log.txt")) == ("succeeded", '{"f1": 3.0}', "")
    assert not any(read_text(box, row, "order.json") for row in rows)


async def test_an_array_whose_submission_was_cut_off_is_found_and_starts_each_run_once(
    box: RemoteBench, tmp_path: Path
) -> None:
    cut = tmp_path / "bin"
    cut.mkdir()
    (cut / "sbatch").write_text('#!/bin/sh\n/usr/bin/sbatch --hold "$@" > /dev/null\nkill -9 $PPID\n')
    (cut / "sbatch").chmod(0o755)
    backend, context = backend_of("slurm", box.store), box.context()
    assert isinstance(backend, LaunchesTogether)
    words = ("bash", "-c", "echo $SLURM_ARRAY_TASK_ID >> $PLACE")
    place = {"PLACE": str(tmp_path / "place")}
    one = RunPlan("slurm", "once", box.workspace, words, target="box", limit_s=60, environment=place)
    sweep = [f"run-cut{number}" for number in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{cut}:{os.environ['PATH']}")
        with pytest.raises(ToolError):
            await backend.launch_all(dict.fromkeys(sweep, one), sweep, context)
    first = jobs_in_queue(sweep[0])
    assert await backend.abandon(sweep[1])
    left = dict.fromkeys((sweep[0], sweep[2]), one)
    for _ in range(2):
        handles = await backend.launch_all(left, sweep, context)
        assert jobs_in_queue(sweep[0]) == first
    await slurm("scontrol", "release", first[0].partition("_")[0])
    for id, handle in zip(left, handles.values(), strict=True):
        row = RunRow(id, "", "once", backend="slurm", handle=handle, log=str(tmp_path / id))
        await box.store.runs.add(row)
        assert (await box.ended(row)).state == "succeeded"
    assert sorted((tmp_path / "place").read_text().split()) == ["0", "2"]


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--partition=no-such", "invalid partition"),
        ("--gres=gpu:1", "Invalid generic resource"),
    ],
)
async def test_what_slurm_refuses_is_one_line(box: RemoteBench, option: str, problem: str) -> None:
    box.target["sbatch"] = [option]
    result = await box.jobs(operation="run", target="box", command="true")
    assert not result.ok
    assert len(result.text.splitlines()) == 1
    assert problem in result.text


async def test_an_account_without_hours_is_named_when_slurm_refuses_a_job_and_when_it_waits(
    box: RemoteBench, stand_in: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs of these names stand in for a Slurm with accounting."""
    box.target["sbatch"] = ["--hold"]
    row = await box.started(command="true")
    (job,) = jobs_in_queue(row.id)
    refusal = "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)"
    stand_in("sbatch", f'echo "{refusal}" >&2; exit 1')
    waits = f"PENDING|AssocGrpCPUMinutesLimit|N/A|{os.getuid()}|debug|1"
    stand_in("squeue", f'[ "$3" = "--name=run-x" ] || echo "{job}|{waits}"; exit')
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{box.workspace.parent}/programs:{os.environ['PATH']}")
        waiting = await poll(box.store, row)
        plan = RunPlan("slurm", "true", box.workspace, ("true",), target="box", limit_s=60)
        with pytest.raises(ToolError, match="name another account or qos: this one has too few hours left"):
            await backend_of("slurm", box.store).launch(plan, "run-x", box.context())
    reason = "waiting: AssocGrpCPUMinutesLimit (the account or qos has too few hours left)"
    assert (waiting.state, waiting.reason) == ("queued", reason)
    await stop(box.store, row)
