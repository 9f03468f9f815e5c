"""Read the metric from the output of an evaluator."""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from ml_intern.search.predictions import TOLERANCE, Pair, metric_named

_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|NaN|NAN|inf|Infinity)\b"
_LONE: Final = re.compile(rf"\s*({_NUMBER})\s*")
_ROWS: Final = re.compile(r"(?m)^\s*n\s*[:=]?\s+(\d+)\s*$")
_EACH_ROW: Final = re.compile(r"(?m)^\s*rows\s*[:=]?\s*(\[.*\])\s*$")
_PREDICTIONS: Final = re.compile(r"(?m)^\s*predictions\s*[:=]?\s*(\[.*\])\s*$")
_SHOWN: Final = 5


class NoMetric(Exception):
    """The output has no valid value of the metric. The message is the reason."""


@dataclass(frozen=True)
class Reading:
    """The output of an evaluator."""

    value: float
    rows: int = 0
    """Rows that the metric is computed on; 0 if it did not print them."""
    each_row: tuple[float, ...] = ()
    """The metric of each row, if it printed "rows [...]"."""
    predictions: tuple[Pair, ...] = ()
    """The label and the prediction of each row, if it printed "predictions [[...], ...]"."""


def read_metric(output: str, metric: str) -> Reading:
    """Return the value of a metric in the output. Raises NoMetric."""
    each_row, predictions = _EACH_ROW.search(output), _PREDICTIONS.search(output)
    text = _PREDICTIONS.sub("", _EACH_ROW.sub("", output))
    found = re.findall(rf"(?<![\w.]){re.escape(metric)}[\"']?\s*[:=]?\s*({_NUMBER})(?![\w%])", text)
    lines = [line for line in text.splitlines() if line.strip()]
    if not found and lines and (lone := _LONE.fullmatch(lines[-1])):
        found = [lone[1]]
    values = {float(one): one for one in found}
    if not found:
        raise NoMetric(f"the evaluator printed no {metric} ({_last(lines)})")
    if wrong := next((one for one in found if not math.isfinite(float(one))), ""):
        raise NoMetric(f"the evaluator printed {metric} {wrong}, which cannot be compared")
    if len(values) > 1:
        some = ", ".join([*list(values.values())[:_SHOWN], *(["..."] if len(values) > _SHOWN else [])])
        raise NoMetric(f"the evaluator printed {len(values)} values of {metric}: {some}; let it print one")
    rows, value = _ROWS.search(text), next(iter(values))
    pairs = _pairs(predictions[1], metric, value) if predictions else ()
    count = int(rows[1]) if rows else len(pairs)
    return Reading(value, count, _each(each_row[1]) if each_row else (), pairs)


def _pairs(text: str, metric: str, value: float) -> tuple[Pair, ...]:
    """Return the predictions if the metric can be computed from them. Raises NoMetric if that gives another value."""
    computed = metric_named(metric)
    try:
        pairs = tuple((label, predicted) for label, predicted in json.loads(text))
        found = computed(Counter(pairs)) if computed and pairs else value
    except (ValueError, TypeError):
        raise NoMetric("the evaluator printed predictions that are not a list of [label, prediction]") from None
    if not abs(found - value) <= TOLERANCE * max(1.0, abs(value)):
        raise NoMetric(f"the evaluator printed {metric} {value:.4g}, but its predictions give {found:.4g}")
    return pairs if computed else ()


def _each(text: str) -> tuple[float, ...]:
    try:
        values = [float(one) for one in json.loads(text)]
    except (ValueError, TypeError):
        return ()
    return tuple(values) if all(math.isfinite(one) for one in values) else ()


def _last(lines: list[str]) -> str:
    return f"its last line is {lines[-1].strip()[:120]!r}" if lines else "it printed nothing"
