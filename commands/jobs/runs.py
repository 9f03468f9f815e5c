"""`runs list`, `compare` and `best`: list the experiments of all threads, compare and rank them."""

import asyncio
import json as jsonlib
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.failure import say
from ml_intern.commands.output import Json, columns, fitted_columns, local_time, print_json, print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.session.opening.store import open_store

if TYPE_CHECKING:
    from ml_intern.store.experiments import ExperimentRow
    from ml_intern.store.runs import RunRow
    from ml_intern.store.store import Store

Here = Annotated[bool, typer.Option("--here", help="only experiments in the working folder")]


def list_runs(
    here: Here = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="show at most N (0: all)")] = 20,
    json: Json = False,
) -> int:
    """List experiments, the most recent last."""
    rows, running = asyncio.run(_rows(here=here))
    return _shown(rows[-limit:], running, json=json)


def best(
    metric: Annotated[str, typer.Argument(metavar="METRIC")],
    higher: Annotated[
        bool | None, typer.Option("--higher/--lower", help="whether higher is better, if the name does not show it")
    ] = None,
    here: Here = False,
    json: Json = False,
) -> int:
    """Rank the experiments that have a metric, best first."""
    from ml_intern.runs.comparison import ranked

    rows, running = asyncio.run(_rows(here=here))
    return _shown(ranked(rows, metric, higher=higher), running, json=json)


def compare(
    ids: Annotated[list[str], typer.Argument(metavar="ID ID...", help="ids, unique id prefixes or names")],
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="also plot their metrics to this PNG file")
    ] = None,
    json: Json = False,
) -> int:
    """Show experiments side by side: metrics, cost and differing settings. A name stands for the latest that has it."""
    from ml_intern.runs.comparison import differing, side_by_side

    if len(ids) < 2:
        raise UsageError("runs compare needs at least two experiments", "ml-intern runs compare ID ID")
    rows = asyncio.run(_chosen(ids))
    plotted = _plot(rows, plot) if plot is not None else ""
    if json:
        found = {"experiments": [experiment_json(row) for row in rows], "differing": differing(rows)}
        return print_json({**found, "plot": str(plot)} if plot is not None else found)
    return print_lines([*columns(side_by_side(rows)), *filter(None, [plotted])])


def _plot(rows: "Sequence[ExperimentRow]", path: Path) -> str:
    """Plot the metrics of the experiments' runs. Experiments without a run have no curve; a note names them."""
    from ml_intern.commands.jobs.plot import save_plot

    if without := [row.name or row.id for row in rows if row.run_id is None]:
        say(f"note: not plotted, because no run belongs to it: {', '.join(without)}", 0)
    runs = asyncio.run(_runs_of(rows))
    if not runs:
        raise UsageError("none of these experiments has a run to plot", "choose experiments that jobs recorded")
    return save_plot(runs, [], path)


async def _runs_of(rows: "Sequence[ExperimentRow]") -> "list[RunRow]":
    async with open_store() as store:
        found = [await store.runs.get(row.run_id) for row in rows if row.run_id is not None]
    return [run for run in found if run is not None]


async def _rows(*, here: bool) -> "tuple[list[ExperimentRow], set[str]]":
    """Return the experiments, and the ids of the runs that have not ended."""
    async with open_store() as store:
        await _refresh(store)
        rows = await store.experiments.list(folder=str(Path.cwd()) if here else None)
        return list(rows), {run.id for run in await store.runs.unfinished()}


async def _refresh(store: "Store") -> None:
    from ml_intern.runs.poll import refresh

    for line in await refresh(store):
        say(f"note: {line}", 0)


async def _chosen(names: Sequence[str]) -> "list[ExperimentRow]":
    from ml_intern.runs.naming import choose

    async with open_store() as store:
        await _refresh(store)
        every = await store.experiments.list()
        choices = [choose(name, every, "experiment") for name in names]
    for note in dict.fromkeys(choice.note for choice in choices if choice.note):
        say(f"note: {note}", 0)
    return [choice.row for choice in choices]


def _shown(rows: "Sequence[ExperimentRow]", running: Collection[str], *, json: bool) -> int:
    from ml_intern.runs.comparison import price, summary
    from ml_intern.runs.naming import short

    if json:
        return print_json([experiment_json(row) for row in rows])
    if not rows:
        return print_lines(["no experiments yet"])
    head = ("ID", "STARTED", "COST", "NAME", "METRICS", "FOLDER")
    results = ["running" if row.run_id in running else summary(row) for row in rows]
    lines = [
        (short(row.id), local_time(row.created), price(row), row.name[:60], result, row.folder)
        for row, result in zip(rows, results, strict=True)
    ]
    return print_lines(fitted_columns([head, *lines], ("FOLDER", "STARTED", "COST")))


def experiment_json(row: "ExperimentRow") -> dict[str, Any]:
    """Return an experiment as JSON; `values` has all metrics, `metrics` the recorded ones with their sources."""
    nested = ("config", "split_hashes", "metrics", "run_metrics")
    return {**asdict(row), **{name: jsonlib.loads(getattr(row, name)) for name in nested}, "values": row.values}
