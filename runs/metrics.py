"""Extract the metrics of a run from its log lines, its JSON lines and the files of its tracker."""

import ast
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_intern.runs.logs import lines
from ml_intern.runs.trackers.tracked import tracked_rows
from ml_intern.text.metric_names import STEPS

MAX_POINTS = 2_000
MAX_METRICS = 100
MAX_NAME = 64
_MAX_LINE = 4_000
_NAME = r"[A-Za-z_][\w./@-]{0,60}"
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|nan|inf|-inf"
_PAIR = re.compile(rf"(?<![\w./])({_NAME})(?:\s*[=:]\s*|\s+)({_NUMBER})(?![\w.])", re.IGNORECASE)
_VALUE = re.compile(r"[=:\s'\"][-+]?(?:\.?\d|nan|inf)", re.IGNORECASE)
"""A part of every line with a metric. Logs may have millions of lines without one."""
_OBJECT = re.compile(r"\{[^{}]*\}")
_WORDS = re.compile(
    r"loss|acc|f1|bleu|rouge|perplexity|ppl|auc|mae|mse|reward|(?:^|_)lr$|learning_rate|grad_norm|precision|recall|"
    r"(?:^|[_/])map|iou|wer|cer|score|throughput|per_second|tokens|error|entropy|(?:^|[_/])kl|margin|bpb|nll|elbo",
    re.IGNORECASE,
)


def metrics_of(line: str, named: Collection[str] = ()) -> dict[str, float]:
    """Return the numbers in one line; empty when none of them is a metric. Numbers in `named` are metrics too.

    A line contains a JSON object, a Python dict as printed by trainers, or pairs: `loss=0.5`, `loss: 0.5`, `loss 0.5`.
    """
    text = line[:_MAX_LINE]
    if _VALUE.search(text) is None:
        return {}
    found = _of_object(text) or _of_pairs(text, named)
    return found if any(_WORDS.search(name) or name in named for name in found) else {}


def step_of(found: Mapping[str, float]) -> float | None:
    """Return the step of these numbers; None when they do not include one."""
    return next((found[name] for name in STEPS if name in found and math.isfinite(found[name])), None)


def _of_object(text: str) -> dict[str, float]:
    match = _OBJECT.search(text)
    if match is None:
        return {}
    try:
        value = json.loads(match.group())
    except ValueError:
        try:
            value = ast.literal_eval(match.group())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    return numbers(value) if isinstance(value, dict) else {}


def numbers(value: Mapping[Any, Any]) -> dict[str, float]:
    """Return the numbers in an object, including those that trainers print as strings."""
    pairs = ((str(name), _number(item)) for name, item in value.items())
    return {name: number for name, number in pairs if number is not None and len(name) <= MAX_NAME}


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _finite_float(value)
    if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip(), re.IGNORECASE):
        return float(value)
    return None


def _finite_float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _of_pairs(text: str, named: Collection[str]) -> dict[str, float]:
    pairs = ((name.lower() if name.lower() in STEPS else name, float(value)) for name, value in _PAIR.findall(text))
    return {name: value for name, value in pairs if name in STEPS or name in named or _WORDS.search(name)}


@dataclass
class Series:
    """The points (step, value) of each metric. Every second point is dropped when a metric exceeds MAX_POINTS."""

    points: dict[str, list[tuple[float, float]]] = field(default_factory=dict[str, list[tuple[float, float]]])
    _seen: dict[str, int] = field(default_factory=dict[str, int])
    _stride: dict[str, int] = field(default_factory=dict[str, int])
    _step: float | None = None

    def add(self, found: Mapping[str, float]) -> None:
        """Add the numbers of one line."""
        own_step = step_of(found)
        # A closing line with the final numbers has no step: it belongs to the last one.
        step = self._step = self._step if own_step is None else own_step
        for name, value in found.items():
            if name not in STEPS and (name in self.points or len(self.points) < MAX_METRICS):
                self._append(name, step, value)

    def _append(self, name: str, step: float | None, value: float) -> None:
        count = self._seen[name] = self._seen.get(name, 0) + 1
        stride = self._stride.setdefault(name, 1)
        if count % stride:
            return
        points = self.points.setdefault(name, [])
        points.append((float(count) if step is None else step, value))
        if len(points) > MAX_POINTS:
            del points[::2]
            self._stride[name] = stride * 2

    def main(self) -> str:
        """Return the main metric: a loss, preferably of evaluation; "" when there are no metrics."""
        order = ("eval_loss", "val_loss", "loss", "train_loss")
        named = [name for name in order if len(self.points.get(name, ())) > 1]
        losses = [name for name in self.points if "loss" in name.lower()]
        return next(iter([*named, *losses, *self.points]), "")


def series_of(log: Path) -> Series:
    """Return the points of all metrics, from the files of a tracker beside the log if any, else from the log."""
    series = Series()
    for found in _tracked(log.parent):
        series.add(found)
    if not series.points:
        for line in lines(log):
            if found := metrics_of(line.text):
                series.add(found)
    return series


def last_tracked(folder: Path) -> dict[str, float]:
    """Return the last value of each metric that the tracker of a run wrote. `folder` is the folder of the run."""
    last: dict[str, float] = {}
    for found in _tracked(folder):
        last.update(found)
    return last


def _tracked(folder: Path) -> Iterator[dict[str, float]]:
    for step, values in tracked_rows(folder):
        yield {"step": float(step), **numbers(values)}


BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Iterable[float], width: int = 30) -> str:
    """Draw values as one line of block characters; "" for fewer than two finite values."""
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    step = max(len(finite) / width, 1.0)
    shown = [finite[int(index * step)] for index in range(min(width, len(finite)))]
    shown[-1] = finite[-1]
    low, high = min(shown), max(shown)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in shown)
