"""The groups, times and target that the columns of a table suggest, and columns that state the target."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from ml_intern.evidence.overlap.rows import TableRow, is_number

_GROUP: Final = re.compile(
    r"(?i)^(?:\w+[_ ])?(?:patient|subject|user|customer|client|person|speaker|author|session|household|family|group|"
    r"participant|student|writer|driver|animal|scene|recording|document)"
    r"s?(?:[_ ]?(?:id|no|nr|number|key|uuid|name|hash))?$"
)
_TIME: Final = re.compile(
    r"(?i)^(?:\w+[_ ])?(?:date|time|timestamp|datetime|day|week|month|year|hour|minute|ts|t|step|quarter)$"
)
_IDENTIFIER: Final = re.compile(r"(?i)^(?:id|index|row|row_?id|uuid|guid|key|unnamed: ?\d+|\w+_id|)$")
_TARGET: Final = ("y", "label", "labels", "target", "class", "outcome", "response")
_SLICE: Final = re.compile(r"(-?\d+)?:(-?\d+)?")
_MAX_CLASSES: Final = 20
_PROXY: Final = 0.97


def target_column(columns: Sequence[str]) -> int | None:
    """Return the position of the target: a column with a usual name; None without one."""
    lower = [name.lower() for name in columns]
    return next((lower.index(name) for name in _TARGET if name in lower), None)


def identifiers(columns: Sequence[str], rows: Sequence[TableRow]) -> frozenset[int]:
    """Return the columns that number or name single rows."""
    found = set()
    for at, name in enumerate(columns):
        cells = [row[at] for row in rows if at < len(row)]
        if _IDENTIFIER.match(name) and len(set(cells)) == len(cells):
            found.add(at)
    return frozenset(found)


def group_columns(columns: Sequence[str], rows: Sequence[TableRow]) -> list[int]:
    """Return the columns whose name suggests groups and whose values come several times each."""
    found = []
    for at, name in enumerate(columns):
        cells = {row[at] for row in rows if at < len(row)}
        if _GROUP.match(name) and 2 < len(cells) <= len(rows) / 2 and at != target_column(columns):
            found.append(at)
    return found


def time_column(columns: Sequence[str], rows: Sequence[TableRow]) -> int | None:
    """Return the column of times if the rows are a series: in order, and almost every time once."""
    for at, name in enumerate(columns):
        cells = [row[at] for row in rows if at < len(row)]
        if not _TIME.match(name) or len(cells) < 20 or len(set(cells)) < 0.9 * len(cells):
            continue
        keys: list[float] | list[str] = [float(one) for one in cells] if all(map(is_number, cells)) else cells
        if keys == sorted(keys):
            return at
    return None


def proxies(columns: Sequence[str], rows: Sequence[TableRow]) -> list[tuple[str, float]]:
    """Return the columns that alone state the target in almost every row, with the share of rows."""
    target = target_column(columns)
    if target is None or len(rows) < 50:
        return []
    full = [row for row in rows if len(row) == len(columns)]
    classes = Counter(row[target] for row in full)
    few = 1 < len(classes) <= _MAX_CLASSES and classes.most_common(1)[0][1] < 0.9 * len(full)
    found = []
    for at, name in enumerate(columns):
        if at != target:
            share = _agreement(full, at, target) if few else _correlation(full, at, target)
            if share >= (_PROXY if few else 0.999):
                found.append((name, share))
    return found


def _agreement(rows: Sequence[TableRow], at: int, target: int) -> float:
    """Return the share of rows whose class is the usual one for their value of a column with few values."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row[at]][row[target]] += 1
        if len(counts) > _MAX_CLASSES:
            return 0.0
    return sum(max(one.values()) for one in counts.values()) / max(len(rows), 1)


def _correlation(rows: Sequence[TableRow], at: int, target: int) -> float:
    pairs = [(row[at], row[target]) for row in rows]
    if not all(is_number(a) and is_number(b) for a, b in pairs):
        return 0.0
    one, other = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    try:
        return abs(statistics.correlation(one, other))
    except statistics.StatisticsError:
        return 0.0


def class_shares(columns: Sequence[str], rows: Sequence[TableRow]) -> dict[str, float]:
    """Return the share of each class of the target; empty without a target of few classes."""
    target = target_column(columns)
    cells = [row[target] for row in rows if target is not None and target < len(row)]
    counts = Counter(cells)
    if not 1 < len(counts) <= _MAX_CLASSES:
        return {}
    return {name: count / len(cells) for name, count in counts.most_common()}


def is_selected(names: Sequence[str], name: str, selection: str, source: str) -> bool:
    """Return whether a column is certainly among the selected ones: by position, or as one that is never named."""
    if not selection:
        return f"'{name}'" not in source and f'"{name}"' not in source and f".{name}" not in source
    found = _SLICE.fullmatch(selection.replace(" ", ""))
    if found is None:
        return False
    bounds = slice(*(int(one) if one else None for one in found.groups()))
    return names.index(name) in range(len(names))[bounds]
