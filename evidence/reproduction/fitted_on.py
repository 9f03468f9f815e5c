"""Whether a model got the columns of a table as they are, or values that its program had made of them."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ml_intern.evidence.checks.lineage import latest_lineage
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.reproduction.plan import Evaluation

_MAX_TABLE: Final = 100_000_000
_REPORT: Final = "fitted on "
_MISSING: Final = frozenset({"", "na", "nan", "null", "none", "n/a", "<na>"})


@dataclass(frozen=True)
class Doubt:
    """Why the numbers of an evaluation need not be those of the answer."""

    why: str
    known: bool = False
    """It is known that they are of other values, so a difference is to be expected."""


def doubt_about(evaluation: Evaluation, output: str, seen: Observations) -> Doubt | None:
    """Return why the reference metrics of a model may be of other values than those of its fit, or None.

    The model's program reports the digest of the first row of each fit. A table that it read has this row if the model
    was fitted on its columns as they are.
    """
    labelled = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    if not evaluation.reference or "model" not in labelled:
        return None
    exact = labelled.get("exact") == "1"
    runs = _made(evaluation.files[0], seen)
    digests = {digest for run in runs for hint in run.hints for digest in _reported(hint, labelled["model"])}
    columns = [str(name) for name in json.loads(labelled["columns"])]
    unknown = None if exact else Doubt("the columns that the model was fitted on are unknown")
    if not digests:
        return unknown
    tables = _tables(runs)
    for path in tables:
        digests -= _digests(path, columns, digests)
    if not digests:
        return None
    return Doubt("the model was fitted on values that its program made", known=True) if tables else unknown


def _made(artifact: Path, seen: Observations) -> Sequence[Execution]:
    """Return the execution that wrote an artifact, with those that wrote what it read."""
    return latest_lineage([one for one in seen.executions if str(artifact) in one.written][-1:], seen)


def _reported(hint: str, model: str) -> list[int]:
    name, *digests = hint.removeprefix(_REPORT).split()
    return [int(one) for one in digests] if hint.startswith(_REPORT) and name == model else []


def _tables(runs: Sequence[Execution]) -> list[Path]:
    named = sorted({Path(path) for run in runs for path in run.opened if path.endswith((".csv", ".tsv"))})
    return [path for path in named if path.is_file() and path.stat().st_size <= _MAX_TABLE]


def _digests(path: Path, columns: Sequence[str], wanted: set[int]) -> set[int]:
    """Return which of the digests are those of rows of a table."""
    found: set[int] = set()
    try:
        for row in _rows(path, columns):
            digest = hash(tuple(_digits(text) for text in row))
            found |= {digest} & wanted
            if found == wanted:
                break
    except (OSError, ValueError, csv.Error):  # no table that can be read as text
        return found
    return found


def _rows(path: Path, columns: Sequence[str]) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        head = next(rows, [])
        if not set(columns) <= set(head):
            return
        places = [head.index(name) for name in columns]
        yield from ([row[place] for place in places] for row in rows if len(row) == len(head))


def _digits(text: str) -> float:
    """Return a number as the hook in the program's process does: to five digits, -1 if missing, -2 for other texts."""
    if text.strip().lower() in _MISSING:
        return -1.0
    try:
        return float(f"{float(text):.5g}")
    except ValueError:
        return -2.0
