"""Read the metric from the output of an evaluator."""

import json
import math
import re
from dataclasses import dataclass
from typing import Final

_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|NaN|NAN|inf|Infinity)\b"
_LONE: Final = re.compile(rf"\s*({_NUMBER})\s*")
_ROWS: Final = re.compile(r"(?m)^\s*n\s*[:=]?\s+(\d+)\s*$")
_EACH_ROW: Final = re.compile(r"(?m)^\s*rows\s*[:=]?\s*(\[.*\])\s*$")
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


def read_metric(output: str, metric: str) -> Reading:
    """Return the value of a metric in the output. Raises NoMetric."""
    each_row = _EACH_ROW.search(output)
    text = _EACH_ROW.sub("", output)
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
    rows = _ROWS.search(text)
    return Reading(next(iter(values)), int(rows[1]) if rows else 0, _each(each_row[1]) if each_row else ())


def _each(text: str) -> tuple[float, ...]:
    try:
        values = [float(one) for one in json.loads(text)]
    except (ValueError, TypeError):
        return ()
    return tuple(values) if all(math.isfinite(one) for one in values) else ()


def _last(lines: list[str]) -> str:
    return f"its last line is {lines[-1].strip()[:120]!r}" if lines else "it printed nothing"
