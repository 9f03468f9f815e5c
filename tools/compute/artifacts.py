"""Reading a number back from the artifact it came from: JSON, JSON lines, CSV, plain text, the metrics of a run."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any, Final

from tools.base import ToolFault

MOST_BYTES: Final = 64 * 1024 * 1024
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")
_NUMBER: Final = r"[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_MOST_NAMES: Final = 30
_ROUNDED_TO_WHOLE: Final = 10
"""A number from here on may be claimed without its decimals; below, 1 is not 0.97."""


def read_number(path: Path, where: str) -> float:
    """The number that stands in a file.

    `where` is a dotted path in JSON (`eval.scores[0].f1`), a key of the last of JSON lines that has it, a column of the
    last row of CSV, or in any other text the words before the number, the last time they stand there.

    Raises:
        ToolFault: no such file, no such place in it, or no finite number there.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ToolFault(f"{path.name} is too large to be read for one number; write the metrics to a JSON file")
        text = path.read_text(errors="replace")
    except OSError as error:
        raise ToolFault(f"cannot read {path.name}: {error.strerror or error}") from error
    kinds = {".json": _in_json, ".jsonl": _in_lines, ".ndjson": _in_lines, ".csv": _in_table, ".tsv": _in_table}
    found = kinds.get(path.suffix.lower(), _in_text)(text, where, path.name)
    number = as_number(found)
    if number is None:
        raise ToolFault(f"{where} in {path.name} is {str(found)[:80]!r}, which is no finite number")
    return number


def as_number(value: Any) -> float | None:
    """A finite number, or None. Text counts when it is nothing but one; true and false do not."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value.replace(",", "") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _in_json(text: str, where: str, name: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ToolFault(f"{name} is no JSON: {error}") from error
    return _followed(value, where, name)


def _followed(value: Any, where: str, name: str) -> Any:
    if isinstance(value, dict) and where in value:
        return value[where]
    for key, place in _STEP.findall(where):
        try:
            value = value[int(place)] if place else value[key]
        except (KeyError, IndexError, TypeError) as error:
            there = ", ".join(map(str, value))[:300] if isinstance(value, dict) else type(value).__name__
            raise ToolFault(f"{name} has no {where!r}; at {key or place} there is: {there}") from error
    return value


def _in_lines(text: str, where: str, name: str) -> Any:
    for line in reversed(text.splitlines()):
        try:
            return _followed(json.loads(line), where, name)
        except (ValueError, ToolFault):
            continue
    raise ToolFault(f"no line of {name} has {where!r}")


def _in_table(text: str, where: str, name: str) -> Any:
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t" if name.lower().endswith(".tsv") else ","))
    if not rows or where not in rows[-1]:
        raise ToolFault(f"{name} has no column {where!r}; it has {', '.join(map(str, rows[-1] if rows else ()))[:300]}")
    return rows[-1][where]


def _in_text(text: str, where: str, name: str) -> Any:
    found = re.findall(rf"{re.escape(where)}['\"]?\s*[:=]?\s*({_NUMBER})", text)
    if not where or not found:
        raise ToolFault(f"no number follows {where!r} in {name}")
    return found[-1]


def in_metrics(metrics: str, name: str, run: str) -> float:
    """A metric of a run, as the run's row keeps it. Raises ToolFault, naming those there are."""
    there = json.loads(metrics)
    number = as_number(there.get(name))
    if number is None:
        names = ", ".join(list(there)[:_MOST_NAMES]) or "none"
        raise ToolFault(f"the log of run {run} gave no metric {name!r}; it gave {names}")
    return number


def agrees(claimed: float, held: float) -> bool:
    """Whether a claimed number is the held one, or the held one rounded to the digits that are claimed."""
    if math.isclose(claimed, held, rel_tol=1e-9, abs_tol=1e-12):
        return True
    digits = f"{claimed:.12f}".rstrip("0").partition(".")[2]
    rounded = bool(digits) or abs(claimed) >= _ROUNDED_TO_WHOLE
    return rounded and abs(claimed - held) <= 0.5 * 10.0 ** -len(digits) * (1 + 1e-9)
