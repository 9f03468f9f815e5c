"""experiments: experiments are recorded with numbers read from their artifacts, and can be compared."""

import json
from typing import Any

import pytest

from ml_intern.execution.call import ToolResult
from ml_intern.store.experiments import ExperimentRow
from ml_intern.store.runs import RunEnding, RunRow
from tests.execution.conftest import THREAD, Bench


async def record(bench: Bench, name: str, value: float | None = None, **args: Any) -> ToolResult:
    metric = {"name": "accuracy", "value": value, "file": "results.json", "where": "eval.accuracy"}
    return await bench.run("experiments", operation="record", name=name, metrics=[metric], **args)


@pytest.fixture
def results(bench: Bench) -> None:
    (bench.workspace / "results.json").write_text('{"eval": {"accuracy": 0.9731}}')
    (bench.workspace / "test.csv").write_text("a,b\n")


async def has_run(bench: Bench, metrics: dict[str, float]) -> None:
    store, folder = bench.store, str(bench.workspace)
    await store.runs.add(RunRow("run-1", THREAD, "train.py"))
    await store.experiments.put(ExperimentRow("run-1", THREAD, THREAD, folder, run_id="run-1", name="train.py"))
    await store.runs.end("run-1", RunEnding("succeeded", 0, metrics=json.dumps(metrics), cost_usd=1.25))


async def test_a_recorded_number_is_read_from_the_artifact(bench: Bench, results: None) -> None:
    done = await record(bench, "small", 0.973, config={"lr": 1e-4}, seed=7, splits=["test.csv"], data_revision="abc")
    assert "small: accuracy 0.9731; $0.00" in done.text
    (row,) = await bench.store.experiments.list()
    assert row.values == {"accuracy": 0.9731}
    assert json.loads(row.metrics)["accuracy"]["source"] == "eval.accuracy in results.json"
    assert (row.seed, json.loads(row.config), row.data_revision) == (7, {"lr": 1e-4}, "abc")
    assert len(json.loads(row.split_hashes)["test.csv"]) == 64


async def test_a_number_that_differs_from_the_artifact_is_refused(bench: Bench, results: None) -> None:
    done = await record(bench, "small", 0.98)
    assert not done.ok
    assert "accuracy is not 0.98: eval.accuracy in results.json is 0.9731" in done.text
    assert await bench.store.experiments.list() == []


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ({"name": "f1"}, "requires a source"),
        ({"name": "f1", "file": "../../etc/passwd"}, "outside the workspace"),
        ({"name": "f1", "run": "no-run"}, "there is no run 'no-run'"),
        ({"name": "f1", "file": "results.json"}, "has no 'f1'"),
    ],
)
async def test_a_metric_without_an_artifact_is_refused(
    bench: Bench, results: None, metric: dict[str, str], expected: str
) -> None:
    done = await bench.run("experiments", operation="record", name="x", metrics=[metric])
    assert not done.ok
    assert expected in done.text


async def test_a_run_is_recorded_with_metrics_and_price_and_can_be_extended(bench: Bench, results: None) -> None:
    await has_run(bench, {"loss": 0.5})
    assert "run-1  train.py: loss 0.5; $1.25" in (await bench.run("experiments", operation="list")).text
    metrics = [
        {"name": "final", "run": "run-1", "where": "loss"},
        {"name": "acc", "file": "results.json", "where": "eval.accuracy"},
    ]
    assert (await bench.run("experiments", operation="record", run="run-1", metrics=metrics)).ok
    (row,) = await bench.store.experiments.list()
    assert row.values == {"loss": 0.5, "final": 0.5, "acc": 0.9731}


async def test_compare_shows_the_differences_and_best_sorts_by_metric(bench: Bench, results: None) -> None:
    await has_run(bench, {"accuracy": 0.5})
    await record(bench, "bigger", config={"size": 2}, parent="run-1")
    compared = (await bench.run("experiments", operation="compare", ids=["run-1", "bigger"])).text
    assert "accuracy | 0.5 | 0.9731" in compared
    assert "size | - | 2" in compared
    assert "cost | $1.25 | $0.00" in compared
    best = (await bench.run("experiments", operation="best", metric="accuracy")).text
    assert best.index("bigger") < best.index("train.py")


async def test_compare_takes_the_latest_of_several_with_the_name_and_a_parent_must_be_unique(
    bench: Bench, results: None
) -> None:
    for number, thread in enumerate(("t1", "t2")):
        row = ExperimentRow(f"id{number}", thread, thread, name="same", run_metrics=f'{{"loss": 0.{number + 1}}}')
        await bench.store.experiments.put(row)
    await has_run(bench, {"loss": 0.5})
    compared = (await bench.run("experiments", operation="compare", ids=["same", "run-1"])).text
    assert "loss | 0.2 | 0.5" in compared
    assert "note: 'same' names several experiments: id1 (thread t2), id0 (thread t1); using the latest" in compared
    refused = await bench.run("experiments", operation="record", name="x", parent="same")
    assert "'same' matches several experiments: id1 (thread t2), id0 (thread t1)" in refused.text


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"operation": "compare", "ids": ["a", "b"]}, "no experiment matches 'a'"),
        ({"operation": "best", "metric": "f1"}, "no experiment has the metric 'f1'"),
        ({"operation": "best", "metric": "size_of_it"}, "no experiment has"),
        ({"operation": "record", "name": "x", "parent": "nobody"}, "no experiment matches 'nobody'"),
        ({"operation": "record", "name": "x", "splits": ["none.csv"]}, "files missing or too large to hash"),
        ({"operation": "compare", "ids": ["a"]}, "at least two ids"),
    ],
)
async def test_invalid_requests_are_reported(bench: Bench, args: dict[str, Any], expected: str) -> None:
    done = await bench.run("experiments", **args)
    assert not done.ok
    assert expected in done.text
