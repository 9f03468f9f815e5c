"""`ml-intern runs`: experiments over all threads."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.configs.paths import data_home
from ml_intern.store.experiments import ExperimentRow
from ml_intern.store.runs import RunRow
from ml_intern.store.store import Store
from tests.commands.conftest import Done

Run = Callable[..., Done]


@pytest.fixture
def tried(run: Run, place: Path) -> None:
    rows = [
        ExperimentRow("aaaa1111", "t1", "t1", str(place), name="small", seed=1, run_metrics='{"loss": 0.5}'),
        ExperimentRow("bbbb2222", "t2", "t2", str(place), name="big", seed=2, run_metrics='{"loss": 0.25}'),
        ExperimentRow("bbbb3333", "t3", "t3", "/elsewhere", name="other", cost_usd=2.0, run_metrics='{"acc": 0.9}'),
    ]

    async def put() -> None:
        async with await Store.open(data_home()) as store:
            for row in rows:
                await store.experiments.put(row)

    asyncio.run(put())


def test_runs_list_shows_all_or_those_of_this_folder(run: Run, tried: None) -> None:
    head, *lines = run("runs", "list").out.splitlines()
    assert head.split() == ["ID", "STARTED", "COST", "NAME", "METRICS", "FOLDER"]
    assert [line.split()[0] for line in lines] == ["aaaa1111", "bbbb2222", "bbbb3333"]
    assert [one["name"] for one in run("runs", "list", "--here", "--json").json] == ["small", "big"]


def test_runs_best_knows_that_less_loss_is_better(run: Run, tried: None) -> None:
    assert [one["id"] for one in run("runs", "best", "loss", "--json").json] == ["bbbb2222", "aaaa1111"]
    assert [one["id"] for one in run("runs", "best", "loss", "--higher", "--json").json] == ["aaaa1111", "bbbb2222"]


def test_runs_compare_shows_what_differs(run: Run, tried: None) -> None:
    shown = run("runs", "compare", "aaaa", "big").out
    assert "loss    0.5       0.25" in shown
    assert "seed    1         2" in shown
    assert run("runs", "compare", "aaaa", "big", "--json").json["differing"] == {"seed": [1, 2]}


def test_of_several_with_one_name_compare_takes_the_latest_and_lists_them(run: Run, tried: None) -> None:
    async def put() -> None:
        async with await Store.open(data_home()) as store:
            await store.experiments.put(ExperimentRow("cccc4444", "t4", "t4", name="big", run_metrics='{"loss": 0.1}'))

    asyncio.run(put())
    done = run("runs", "compare", "small", "big", "--json")
    assert [row["id"] for row in done.json["experiments"]] == ["aaaa1111", "cccc4444"]
    assert "'big' names several experiments: cccc4444 (thread t4), bbbb2222 (thread t2); using the latest" in done.err
    assert run("runs", "compare", "aaaa", "bbbb2222").err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("compare", "aaaa"), "needs at least two experiments"),
        (("compare", "aaaa", "bbbb"), "'bbbb' matches several experiments"),
        (("compare", "aaaa", "zzzz"), "no experiment matches 'zzzz'"),
        (("best", "f1"), "available metrics: loss, acc"),
    ],
)
def test_what_is_not_there_is_said_and_exits_2(run: Run, tried: None, words: tuple[str, ...], said: str) -> None:
    done = run("runs", *words)
    assert done.code == 2
    assert said in done.err


def test_an_empty_table_says_so(run: Run) -> None:
    assert run("runs", "list").out == "no experiments yet\n"
    assert json.loads(run("runs", "list", "--json").out) == []


def test_compare_plots_the_runs_of_experiments_and_names_those_without(run: Run, place: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs the extra [plot]: uv sync --extra plot")

    async def put() -> None:
        async with await Store.open(data_home()) as store:
            for number in (1, 2):
                log = place / f"{number}.txt"
                log.write_text("".join(f"step {step} loss={number / (step + 1)}\n" for step in range(5)))
                await store.runs.add(RunRow(f"run-{number}", "t", "train", "succeeded", name="same", log=str(log)))
                await store.experiments.put(ExperimentRow(f"run-{number}", "t", "t", run_id=f"run-{number}"))
            for name in ("by hand", "by eye"):
                await store.experiments.put(ExperimentRow(name, "t", "t", name=name))

    asyncio.run(put())
    done = run("runs", "compare", "run-1", "run-2", "by hand", "--plot", "a.png")
    assert (done.code, done.out.splitlines()[-1]) == (0, "a.png: loss")
    assert "not plotted, because no run belongs to it: by hand" in done.err
    with image.open(place / "a.png") as plotted:
        colours = {colour for _, colour in plotted.convert("RGB").getcolors(1 << 20)}
    assert {(0x1F, 0x77, 0xB4), (0xD6, 0x27, 0x28)} <= colours  # two lines, although the runs have one name
    assert run("runs", "compare", "run-1", "run-2", "--plot", "b.png", "--json").json["plot"] == "b.png"
    refused = run("runs", "compare", "by hand", "by eye", "--plot", "c.png")
    assert (refused.code, "none of these experiments has a run to plot" in refused.err) == (2, True)
