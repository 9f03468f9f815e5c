"""`jobs plot`: plot the losses and metrics of runs."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.jobs.jobs import NAMES_HELP, found_runs
from ml_intern.commands.output import print_lines
from ml_intern.configs.errors import ConfigurationError, MLInternError, UsageError
from ml_intern.configs.version import install_hint
from ml_intern.runs.metrics import Series, series_of
from ml_intern.session.opening.store import open_store
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from ml_intern.store.runs import RunRow

MAX_PANELS = 6
NO_METRICS_REMEDY = "print `step 10 loss=0.5` or JSON lines, or use a tracker, see docs/runs.md"


def plot(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help=NAMES_HELP)],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="PNG file to write")] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="only this metric (repeatable)")
    ] = None,
) -> int:
    """Plot metrics by step: one panel per metric, one line per run. Needs the extra [plot]."""
    rows = asyncio.run(_rows(runs))
    return print_lines([save_plot(rows, metric or [], output or Path(f"{rows[0].id}.png"))])


def save_plot(rows: "Sequence[RunRow]", metrics: Sequence[str], path: Path) -> str:
    """Plot the runs' metrics (empty: the most important ones) to a PNG file, and return a line about it.

    Raises:
        UsageError: no run has a metric, or not a requested one.
        ConfigurationError: Pillow is not installed.
    """
    curves = {label: _series(row) for label, row in zip(_labels(rows), rows, strict=True)}
    names = _chosen(curves, metrics)
    try:
        from ml_intern.terminal.render.chart import draw
    except ImportError as missing:
        raise ConfigurationError("plotting needs the package pillow", install_hint("plot")) from missing
    panels = {name: {run: one.points[name] for run, one in curves.items() if name in one.points} for name in names}
    title = next(iter(curves)) if len(curves) == 1 else f"{plural(len(curves), 'run')} by step"
    try:
        draw(panels, title).save(path, "PNG")
    except OSError as error:
        raise MLInternError(f"{path} cannot be written: {error.strerror or error}") from error
    return f"{path}: {', '.join(names)}"


def _labels(rows: "Sequence[RunRow]") -> list[str]:
    """Return a different label for each run: its name, with the id where several have the name."""
    names = [row.name or row.id for row in rows]
    return [name if names.count(name) == 1 else f"{name} ({row.id})" for name, row in zip(names, rows, strict=True)]


async def _rows(names: list[str]) -> "list[RunRow]":
    from ml_intern.runs.poll import poll

    async with open_store() as store:
        found = [row for name in names for row in await found_runs(store, name)]
        return [await poll(store, row) for row in found]


def _series(row: "RunRow") -> Series:
    return series_of(Path(row.log))


def _chosen(curves: Mapping[str, Series], wanted: Sequence[str]) -> list[str]:
    """Choose the metrics to plot: the requested ones, else the main metric of each run first, then others."""
    known = list(dict.fromkeys(name for one in curves.values() for name in (one.main(), *one.points) if name))
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(
            f"no run has a metric {unknown[0]!r}", f"choose from {', '.join(known)}" if known else NO_METRICS_REMEDY
        )
    if not known:
        raise UsageError("these runs have no metrics", NO_METRICS_REMEDY)
    return list(wanted) or known[:MAX_PANELS]
