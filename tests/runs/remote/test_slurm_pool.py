"""Slurm as a member of a pool, and Optuna's sweeps on Slurm, on a real cluster of one node."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.runs.poll import poll, stop
from ml_intern.runs.run_folder import run_folder
from ml_intern.store.runs import RunRow
from tests.execution.conftest import until
from tests.runs.remote.conftest import RemoteBench
from tests.runs.remote.test_slurm import box, configuration, jobs_in_queue, kill_jobs, read_text

__all__ = ["box", "configuration"]


class ClusterPool(RemoteBench):
    """A bench with two targets on the cluster, `red` and `blue`, which are members of the pool `both`."""

    changes: dict[str, dict[str, Any]]

    def context(self, **choices: Any) -> Any:
        context = super().context(**choices)
        there = Path(self.target["workdir"])
        members = {
            name: {**self.target, "workdir": str(there / name), **self.changes.get(name, {})}
            for name in ("red", "blue")
        }
        context.options.compute.clear()
        context.options.compute.update({**members, "both": {"kind": "pool", "members": ["red", "blue"]}})
        return replace(context, user_text="use both")

    async def runs(self, command: str, numbers: list[int]) -> list[RunRow]:
        result = await self.jobs(operation="sweep", target="both", command=command, parameters={"n": numbers})
        assert result.ok, result.text
        return list(await self.store.runs.list())

    def at(self, row: RunRow) -> str:
        return str(json.loads((run_folder(self.store.home, row.id) / "target.json").read_text())["name"])

    def log_there(self, row: RunRow) -> str:
        path = Path(self.target["workdir"]) / self.at(row) / "runs" / row.id / "log.txt"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def pool(box: RemoteBench) -> ClusterPool:
    found = ClusterPool(box.store, box.workspace, box.services)
    found.target, found.changes = box.target, {}
    return found


async def test_runs_of_a_pool_are_jobs_on_all_its_clusters_and_one_that_waits_in_a_queue_stays(
    pool: ClusterPool,
) -> None:
    pool.changes["blue"] = {"sbatch": ["--hold"]}
    rows = await pool.runs("echo f1={n}; [ {n} = 2 ] || sleep 600", [1, 2])
    assert sorted(pool.at(row) for row in rows) == ["blue", "red"]
    held = next(row for row in rows if pool.at(row) == "blue")
    waiting = await poll(pool.store, held)
    assert (waiting.state, waiting.reason) == ("queued", "waiting: JobHeldUser on blue")
    assert [pool.at(row) for row in rows].count("blue") == 1
    for row in rows:
        assert (await stop(pool.store, row)).state == "cancelled"
        assert jobs_in_queue(row.id) == []


async def test_a_run_whose_job_is_killed_starts_again_on_another_cluster_once(pool: ClusterPool) -> None:
    (row,) = await pool.runs("echo begun {n}; sleep 600", [1])
    first = pool.at(row)
    await until(lambda: pool.log_there(row) != "")
    await kill_jobs(jobs_in_queue(row.id))
    async with asyncio.timeout(60):
        while pool.at(row) == first:
            row = await poll(pool.store, row)
            await asyncio.sleep(0.1)
    await until(lambda: pool.log_there(row) != "")
    await kill_jobs(jobs_in_queue(row.id))
    ended = await pool.ended(row)
    log = Path(ended.log).read_text()
    assert (ended.state, log.count("begun 1"), log.count("the run starts again elsewhere")) == ("lost", 2, 1)
    assert f"ml-intern: {first}: its job left the queue: " in log


async def test_a_cluster_that_refuses_a_job_is_left_out(pool: ClusterPool) -> None:
    pool.changes["red"] = {"partition": "no-such"}
    rows = await pool.runs("echo f1={n}", [1, 2])
    ended = [await pool.ended(row) for row in rows]
    assert [(row.state, row.reason) for row in ended] == [("succeeded", "on blue")] * 2


async def test_a_job_of_a_pool_asks_for_the_gpus_of_its_cluster(
    pool: ClusterPool, stand_in: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.changes = {name: {"gpus": "a100:2"} for name in ("red", "blue")}
    asked = pool.workspace.parent / "asked"
    stand_in("sbatch", f'echo "$@" > {asked}; exit 1')
    monkeypatch.setenv("PATH", f"{pool.workspace.parent}/programs:/usr/bin:/bin")
    await pool.jobs(operation="run", target="both", command="true")
    assert "--gres=gpu:a100:2" in asked.read_text()


async def test_the_trials_of_optuna_are_tasks_of_one_array_that_share_a_study(box: RemoteBench) -> None:
    pytest.importorskip("optuna")
    box.target["setup"] = f"export PATH={Path(sys.executable).parent}:$PATH"
    box.file("work/train.py", "import sys\nprint(f'eval_loss={(float(sys.argv[2]) - 3) ** 2}')\n")
    result = await box.jobs(
        operation="sweep", target="box", method="optuna", metric="eval_loss", samples=4, at_once=2,
        script="work/train.py", parameters={"x": {"low": -10.0, "high": 10.0}},
    )  # fmt: skip
    assert result.ok, result.text
    rows = await box.store.runs.list()
    script = Path(box.target["workdir"]) / "arrays" / rows[0].id / "job.sh"
    assert script.exists()
    ended = [await box.ended(row, seconds=120) for row in rows]
    assert {row.state for row in ended} == {"succeeded"}, [row.tail for row in ended]
    numbers = sorted(int(row.tail.partition("optuna: trial ")[2].partition(":")[0]) for row in ended)
    assert numbers == [0, 1, 2, 3]
    assert [path.suffix for path in (Path(box.target["workdir"]) / "studies").iterdir()] == [".optuna"]


async def test_a_sweep_by_optuna_runs_as_many_at_once_as_it_asks_for_though_more_are_allowed(box: RemoteBench) -> None:
    pytest.importorskip("optuna")
    box.target |= {"max_runs": 3, "setup": f"export PATH={Path(sys.executable).parent}:$PATH"}
    box.file("train.py", "import time\nprint('eval_loss=1', flush=True)\ntime.sleep(600)\n")
    await box.jobs(
        operation="sweep", target="box", method="optuna", metric="eval_loss", samples=2, script="train.py",
        parameters={"x": {"low": 0.0, "high": 1.0}},
    )  # fmt: skip
    first, second = await box.store.runs.list()
    await until(lambda: "eval_loss" in read_text(box, first, "log.txt"), 60)
    assert (await poll(box.store, second)).reason == "waiting: JobArrayTaskLimit"
    limit = ["scontrol", "show", "job", jobs_in_queue(first.id)[0].partition("_")[0]]
    shown = subprocess.run(limit, capture_output=True, text=True, check=True).stdout  # noqa: ASYNC221 it is short
    assert "ArrayTaskThrottle=1" in shown
