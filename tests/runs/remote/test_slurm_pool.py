"""Slurm as a member of a pool, and Optuna's sweeps on Slurm, on a real cluster of one node."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.runs.poll import poll, stop
from tests.execution.conftest import until
from tests.runs.remote.conftest import RemoteBench
from tests.runs.remote.pools import PoolBench, check_that_they_share_a_study, optuna_sweep
from tests.runs.remote.test_slurm import box, configuration, jobs_in_queue, kill_jobs, read_text

__all__ = ["box", "configuration"]


@pytest.fixture
def pool(box: RemoteBench) -> PoolBench:
    return PoolBench.of(box)


async def test_runs_of_a_pool_are_jobs_on_all_its_clusters_and_one_that_waits_in_a_queue_stays(
    pool: PoolBench,
) -> None:
    pool.changes = {"blue": {"sbatch": ["--hold"]}}
    rows = await pool.sweep("echo f1={n}; [ {n} = 2 ] || sleep 600", [1, 2])
    assert sorted(pool.at(row) for row in rows) == ["blue", "red"]
    held = next(row for row in rows if pool.at(row) == "blue")
    waiting = await poll(pool.store, held)
    assert (waiting.state, waiting.reason) == ("queued", "waiting: JobHeldUser on blue")
    assert [pool.at(row) for row in rows].count("blue") == 1
    for row in rows:
        assert (await stop(pool.store, row)).state == "cancelled"
        assert jobs_in_queue(row.id) == []


async def test_a_run_whose_job_is_killed_starts_again_on_another_cluster_once(pool: PoolBench) -> None:
    (row,) = await pool.sweep("echo begun {n}; sleep 600", [1])
    first = pool.at(row)
    await until(lambda: pool.text_there(row, "log.txt") != "")
    await kill_jobs(jobs_in_queue(row.id))
    async with asyncio.timeout(60):
        while pool.at(row) == first:
            row = await poll(pool.store, row)
            await asyncio.sleep(0.1)
    await until(lambda: pool.text_there(row, "log.txt") != "")
    await kill_jobs(jobs_in_queue(row.id))
    ended = await pool.ended(row)
    log = Path(ended.log).read_text()
    assert (ended.state, log.count("begun 1"), log.count("the run starts again elsewhere")) == ("lost", 2, 1)
    assert f"ml-intern: {first}: its job left the queue: " in log


async def test_a_cluster_that_refuses_a_job_is_left_out(pool: PoolBench) -> None:
    pool.changes = {"red": {"partition": "no-such"}}
    rows = await pool.sweep("echo f1={n}", [1, 2])
    ended = [await pool.ended(row) for row in rows]
    assert [(row.state, row.reason) for row in ended] == [("succeeded", "on blue")] * 2


async def test_a_job_of_a_pool_asks_for_the_gpus_of_its_cluster(
    pool: PoolBench, stand_in: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.changes = {name: {"gpus": "a100:2"} for name in ("red", "blue")}
    asked = pool.workspace.parent / "asked"
    stand_in("sbatch", f'echo "$@" > {asked}; exit 1')
    monkeypatch.setenv("PATH", f"{pool.workspace.parent}/programs:/usr/bin:/bin")
    await pool.jobs(operation="run", target="both", command="true")
    assert "--gres=gpu:a100:2" in asked.read_text()


async def test_the_trials_of_optuna_are_tasks_of_one_array_that_share_a_study(box: RemoteBench) -> None:
    rows = await optuna_sweep(box)
    assert (Path(box.target["workdir"]) / "arrays" / rows[0].id / "job.sh").exists()
    await check_that_they_share_a_study(box, rows)


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
