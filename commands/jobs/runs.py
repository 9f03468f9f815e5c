"""`runs list`, `compare` and `best`: list the experiments of all threads, compare and rank them."""

import asyncio
import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.output import JSON_HELP, columns, local_time, print_json, print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.session.opening.store import open_store

if TYPE_CHECKING:
    from ml_intern.store.experiments import ExperimentRow

Json = Annotated[bool, typer.Option("--json", help=JSON_HELP)]
Here = Annotated[bool, typer.Option("--here", help="only experiments in the working folder")]


def list_runs(
    here: Here = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="show at most N (0: all)")] = 20,
    json: Json = False,
) -> int:
    """List experiments, the most recent last."""
    rows = asyncio.run(_rows(here=here))[-limit:]
    return _shown(rows, json=json)


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

    return _shown(ranked(asyncio.run(_rows(here=here)), metric, higher=higher), json=json)


def compare(
    ids: Annotated[list[str], typer.Argument(metavar="ID ID...", help="ids, unique id prefixes or names")],
    json: Json = False,
) -> int:
    """Show experiments side by side: metrics, cost and differing settings."""
    from ml_intern.runs.comparison import differing, side_by_side

    if len(ids) < 2:
        raise UsageError("runs compare needs at least two experiments", "ml-intern runs compare ID ID")
    rows = asyncio.run(_chosen(ids))
    if json:
        return print_json({"experiments": [experiment_json(row) for row in rows], "differing": differing(rows)})
    return print_lines(columns(side_by_side(rows)))


async def _rows(*, here: bool) -> "list[ExperimentRow]":
    async with open_store() as store:
        return list(await store.experiments.list(folder=str(Path.cwd()) if here else None))


async def _chosen(ids: Sequence[str]) -> "list[ExperimentRow]":
    from ml_intern.runs.comparison import chosen

    async with open_store() as store:
        return [chosen(text, await store.experiments.find(text)) for text in ids]


def _shown(rows: "Sequence[ExperimentRow]", *, json: bool) -> int:
    from ml_intern.runs.comparison import price, short, summary

    if json:
        return print_json([experiment_json(row) for row in rows])
    if not rows:
        return print_lines(["no experiments yet"])
    lines = [
        (short(row.id), local_time(row.created), price(row), row.name[:60], summary(row), row.folder) for row in rows
    ]
    return print_lines(columns([("ID", "STARTED", "COST", "NAME", "METRICS", "FOLDER"), *lines]))


def experiment_json(row: "ExperimentRow") -> dict[str, Any]:
    """Return an experiment as JSON; `values` has all metrics, `metrics` the recorded ones with their sources."""
    nested = ("config", "split_hashes", "metrics", "run_metrics")
    return {**asdict(row), **{name: jsonlib.loads(getattr(row, name)) for name in nested}, "values": row.values}
