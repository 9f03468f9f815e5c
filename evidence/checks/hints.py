"""Reports of Python processes about themselves. A hint can contradict a claim, and never supports one."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ml_intern.evidence.observations import Execution

_ITERATIVE: Final = re.compile(r"(?P<name>\w*(?:Logistic|MLP|SGD|Lasso|ElasticNet|Perceptron|LinearSV|Mixture)\w*)")
"""Estimators of scikit-learn that have not converged if they end at `max_iter`."""
_ITERATIONS: Final = re.compile(r"n_iter=(\d+) max_iter=(\d+)")
_HANDLED: Final = re.compile(r"handled (\d+) (.+)\Z")
_ROWS: Final = re.compile(r"(?:fit \w+|loader) rows=(\d+)")
_METRIC: Final = re.compile(r"metric rows=(\d+) lines=([\d,]+) (.+)\Z")
_STEPS: Final = re.compile(r"optimizer steps=(\d+)")


@dataclass(frozen=True)
class MetricReport:
    """A metric that scikit-learn computed: its rows, and the lines of the program that called it, innermost first."""

    rows: int
    lines: tuple[int, ...]
    path: str


def stopped_early(run: Execution) -> str:
    """Return the report of a fit that ended because its iterations were used up or that warned, or ""."""
    for hint in run.hints:
        if hint.startswith("warning ConvergenceWarning "):
            return hint.removeprefix("warning ")
        counts = _ITERATIONS.search(hint)
        if hint.startswith("fit ") and counts and _ITERATIVE.search(hint) and int(counts[1]) >= int(counts[2]):
            return hint.removeprefix("fit ")
    return ""


def handled_lines(run: Execution, path: str) -> tuple[int, ...]:
    """Return the lines of a script that ran after it had caught an exception, as far as they were reported."""
    found = (_HANDLED.match(hint) for hint in run.hints)
    name = "<string>" if path == "-c" else str(Path(run.folder, path))
    return tuple(int(one[1]) for one in found if one and one[2] == name)


def on_cpu_alone(used: Sequence[Execution]) -> str:
    """Return the name of an execution whose processes all used torch without a GPU, or ""."""
    for run in used:
        devices = {hint for hint in run.hints if hint.startswith("device ")}
        if devices == {"device cpu"} and not run.remote:
            return run.name
    return ""


def used_gpu(run: Execution) -> bool:
    """Whether a process of an execution reports a GPU."""
    return any(hint.startswith("device ") and hint != "device cpu" for hint in run.hints)


def fewer_steps(used: Sequence[Execution], epochs: int) -> str:
    """Return the name of the execution with the steps, if torch's optimizers made fewer steps than epochs; or ""."""
    steps = [(run.name, int(found[1])) for run in used for hint in run.hints if (found := _STEPS.match(hint))]
    most = max(steps, key=lambda one: one[1], default=("", 0))
    return most[0] if 0 < most[1] < epochs else ""


def fitted_rows(run: Execution) -> int:
    """Return the rows of the largest fit or loader that an execution reported; 0 if it reported none."""
    found = (_ROWS.match(hint) for hint in run.hints)
    return max((int(one[1]) for one in found if one), default=0)


def metric_reports(run: Execution) -> Iterator[MetricReport]:
    """Yield the metrics of scikit-learn that an execution reported."""
    for hint in run.hints:
        if found := _METRIC.match(hint):
            yield MetricReport(int(found[1]), tuple(map(int, found[2].split(","))), found[3])


def without_hints(run: Execution) -> str:
    """Return why an execution whose Python was started has no reports, or ""."""
    python = any(re.search(r"/python[\d.]*\Z", path) for path in run.started or ())
    if not python or any(hint.startswith("start ") for hint in run.hints):
        return ""
    return "Python reported nothing about itself, since it was started with -I, -E, -S or another PYTHONPATH"
