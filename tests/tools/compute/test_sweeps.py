"""The operation sweep of jobs: the values of its runs, one queue on this machine, one report, one price."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_intern.execution.call import ToolError
from ml_intern.runs.poll import poll, refresh
from ml_intern.store.runs import RunRow
from ml_intern.tools.compute.jobs_args import JobsArgs, build_plans
from ml_intern.tools.compute.sweep import Choices, ValueRange, filled, variants
from tests.execution.conftest import THREAD, Bench, until

SCRIPT = """import pathlib, sys, time
log = pathlib.Path("log.txt")
with log.open("a") as file: print("begin", *sys.argv[1:], file=file)
while not pathlib.Path("go").exists(): time.sleep(0.05)
with log.open("a") as file: print("end", *sys.argv[1:], file=file)
print(f"f1={sys.argv[2]}")
"""


def test_a_grid_has_every_combination_and_samples_are_repeatable() -> None:
    grid = variants({"lr": [0.1, 0.01], "layers": [1, 2, 3]}, 0, 0)
    assert len(grid) == len({tuple(values.items()) for values in grid}) == 6
    ranges: dict[str, Any] = {"lr": ValueRange(low=1e-5, high=1e-1, log=True), "layers": ValueRange(low=1, high=4)}
    drawn = variants(ranges, 20, seed=3)
    assert drawn == variants(ranges, 20, seed=3) != variants(ranges, 20, seed=4)
    assert all(1e-5 <= float(values["lr"]) <= 1e-1 and values["layers"] in (1, 2, 3, 4) for values in drawn)
    assert len(variants({"n": [1, 2]}, 50, seed=0)) == 2


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "requires parameters"),
        ({"n": []}, "at least one value"),
        ({"n": ValueRange(low=0, high=1)}, "set samples"),
        ({"n": list(range(11)), "m": list(range(10))}, "more than 100 runs"),
    ],
)
def test_impossible_sweeps_are_refused(parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(ToolError, match=reason):
        variants(parameters, 0, 0)


async def test_every_parameter_of_a_command_has_a_place_in_it(bench: Bench) -> None:
    options = replace(bench.context().options, compute={"box": {"kind": "ssh", "host": "box"}})
    context = replace(bench.context(), options=options)
    parameters: dict[str, Choices] = {"n": [1, 2]}
    args = JobsArgs(operation="sweep", target="box", command="echo", args=["{n}"], parameters=parameters)
    with pytest.raises(ToolError, match="no place for n"):
        await build_plans(args, context)
    plans = await build_plans(args.model_copy(update={"command": "echo {n}", "args": []}), context)
    assert [plan.display for plan in plans] == ["echo 1", "echo 2"]


def test_values_are_quoted_for_a_shell() -> None:
    assert filled("run --name {n} ${HOME}", {"n": "a; rm -rf x"}, quote=True) == "run --name 'a; rm -rf x' ${HOME}"


async def sweep(bench: Bench, **args: Any) -> list[RunRow]:
    bench.file("work/train.py", SCRIPT)
    result = await bench.run("jobs", operation="sweep", script="work/train.py", workdir="work", **args)
    assert result.ok, result.text
    return list(await bench.store.runs.list())


async def test_the_runs_on_this_machine_follow_one_another_and_are_reported_together(bench: Bench) -> None:
    rows = await sweep(bench, parameters={"n": [1, 2], "flag": [True]}, name="try")
    assert [row.name for row in rows] == ["try n=1 flag=true", "try n=2 flag=true"]
    log = bench.workspace / "work" / "log.txt"
    await until(log.exists)
    waiting = await poll(bench.store, rows[1])
    assert (waiting.state, waiting.reason) == ("queued", "waiting for a free slot")
    cancelled = await bench.run("jobs", operation="cancel", run=rows[1].id)
    assert "cancelled" in cancelled.text
    assert await bench.store.runs.finished_unreported(THREAD, ()) == []
    bench.file("work/go", "")
    async with asyncio.timeout(120):
        while (first := await poll(bench.store, rows[0])).open:  # noqa: ASYNC110 nothing tells of another process
            await asyncio.sleep(0.05)
    assert (first.state, first.metrics) == ("succeeded", '{"f1": 1.0}')
    assert [row.id for row in await bench.store.runs.finished_unreported(THREAD, ())] == [row.id for row in rows]
    assert log.read_text().splitlines() == ["begin --n 1 --flag true", "end --n 1 --flag true"]
    best = (await bench.run("experiments", operation="list")).text
    assert "try n=1 flag=true: f1 1" in best


@pytest.mark.parametrize("by_name", [True, False])
async def test_a_sweep_is_cancelled_by_its_name_or_a_run_of_it_and_no_waiting_run_starts(
    bench: Bench, *, by_name: bool
) -> None:
    bench.file("train.py", SCRIPT)
    await bench.run("jobs", operation="sweep", script="train.py", parameters={"n": [1, 2, 3]}, name="moons")
    await until((bench.workspace / "log.txt").exists)
    rows = await bench.store.runs.list()
    words = ["moons"] if by_name else ["--sweep", rows[1].id]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ml_intern", "jobs", "cancel", *words),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "ML_INTERN_HOME": str(bench.store.home)},
    )
    said, _ = await process.communicate()
    assert said.decode().splitlines() == [f"{row.id}: cancelled" for row in rows]
    assert (bench.workspace / "log.txt").read_text() == "begin --n 1\n"


async def test_a_sweep_here_needs_a_script_and_a_command_elsewhere_a_place_for_each_value(bench: Bench) -> None:
    refused = await bench.run("jobs", operation="sweep", command="echo {n}", parameters={"n": [1]})
    assert "requires a script" in refused.text
    assert await bench.store.runs.list() == []


LEARNS = """import sys, time
x = float(sys.argv[sys.argv.index("--x") + 1])
for step in range(1, 6):
    print(f"step={step} eval_loss={(x - 3) ** 2 + 1 / step:.4f}", flush=True)
    time.sleep(0.02)
print("whole")
"""


async def ended(bench: Bench) -> list[RunRow]:
    async with asyncio.timeout(240):
        while await bench.store.runs.unfinished():
            await refresh(bench.store)
            await asyncio.sleep(0.2)
    return list(await bench.store.runs.list())


async def test_optuna_chooses_values_from_the_results_and_stops_bad_runs(bench: Bench) -> None:
    pytest.importorskip("optuna")
    bench.file("work/train.py", LEARNS)
    result = await bench.run(
        "jobs", operation="sweep", method="optuna", metric="eval_loss", samples=14, script="work/train.py",
        parameters={"x": {"low": -10.0, "high": 10.0}}, workdir="work", name="fit", seed=1,
    )  # fmt: skip
    assert result.ok, result.text
    rows = await ended(bench)
    assert [row.name for row in rows] == [f"fit trial {number}" for number in range(14)]
    assert {row.state for row in rows} == {"succeeded"}
    logs = [Path(row.log).read_text() for row in rows]
    stopped = [log for log in logs if "stopped early: eval_loss" in log]
    assert stopped
    assert not any("whole" in log for log in stopped)
    tried = [float(log.partition(" x=")[2].split()[0]) for log in logs]
    assert min(abs(x - 3) for x in tried[5:]) < min(abs(x - 3) for x in tried[:4])


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"samples": 0, "metric": "eval_loss"}, "requires samples"),
        ({"samples": 3}, "and metric"),
        ({"samples": 3, "metric": "quux"}, "unknown whether higher or lower quux is better"),
        ({"samples": 3, "metric": "eval_loss", "parameters": {}}, "requires parameters"),
        ({"samples": 3, "metric": "eval_loss", "script": "print(1)\n"}, "a script in a file"),
    ],
)
async def test_impossible_sweeps_by_optuna_are_refused(bench: Bench, args: dict[str, Any], reason: str) -> None:
    bench.file("train.py", LEARNS)
    asked: dict[str, Any] = {"script": "train.py", "parameters": {"x": [1, 2]}, **args}
    result = await bench.run("jobs", operation="sweep", method="optuna", **asked)
    assert not result.ok
    assert reason in result.text
    assert await bench.store.runs.list() == []
