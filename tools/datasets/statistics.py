"""Summarise a dataset's statistics: columns, missing values, class balance, duplicates, overlap of splits."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_intern.text.formatting import listed, plural
from ml_intern.tools.datasets.columns import DatasetRow, Features, label_names

IMBALANCED = 3.0
"""Ratio of the most frequent to the rarest class above which labels count as imbalanced."""
_MAX_CLASSES = 15
_MAX_LABELS = 20
_RARE = 0.01
_SPREAD = ("min", "max", "mean", "median")


def column_lines(statistics: Mapping[str, Any]) -> dict[str, str]:
    """Summarise the viewer's statistics of each column."""
    return {str(one["column_name"]): _summarize(one) for one in statistics.get("statistics", [])}


def _summarize(column: Mapping[str, Any]) -> str:
    values: Mapping[str, Any] = column.get("column_statistics") or {}
    parts = [f"{values['nan_count']:,} missing"] if values.get("nan_count") else []
    if values.get("n_unique") is not None:
        parts.append(f"{plural(values['n_unique'], 'value')}")
    unit = {"string_text": " characters", "list": " items"}.get(str(column.get("column_type")), "")
    spread = [f"{name} {_number(values[name])}" for name in _SPREAD if values.get(name) is not None]
    return ", ".join([*parts, *([f"{' '.join(spread)}{unit}"] if spread else [])])


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def class_counts(statistics: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return the class counts of the columns that the viewer treats as labels."""
    found = {}
    for one in statistics.get("statistics", []):
        counts = (one.get("column_statistics") or {}).get("frequencies")
        if isinstance(counts, Mapping) and counts:
            found[str(one["column_name"])] = {str(name): int(count) for name, count in counts.items()}
    return found


def sampled_counts(features: Features, rows: Sequence[DatasetRow]) -> dict[str, dict[str, int]]:
    """Return the class counts from sample rows: of label columns, and of columns with few distinct values."""
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if isinstance(row.get(name), str | int | bool)]
        names = label_names(features.get(name))
        if names or (len(set(values)) <= min(_MAX_LABELS, len(values) // 2) and "label" in name.lower()):
            shown = [
                names[value] if names and isinstance(value, int) and value < len(names) else value for value in values
            ]
            found[name] = dict(Counter(map(str, shown)))
    return found


def balance_lines(counts: Mapping[str, Mapping[str, int]], *, sample: bool) -> list[str]:
    """Describe the class distribution of each label column, and the accuracy of always predicting the largest class."""
    return [line for name, classes in counts.items() for line in _balance(name, classes, sample=sample)]


def _balance(column: str, classes: Mapping[str, int], *, sample: bool) -> Iterator[str]:
    total = sum(classes.values())
    ordered = sorted(classes.items(), key=lambda one: -one[1])
    if not total or len(ordered) < 2:
        yield f"{column}: only one class ({ordered[0][0] if ordered else 'none'})"
        return
    shares = [f"{name} {count:,} ({count / total:.1%})" for name, count in ordered]
    shown = listed(shares, _MAX_CLASSES, noun="class")
    rare = [name for name, count in ordered if count / total < _RARE]
    ratio = ordered[0][1] / max(ordered[-1][1], 1)
    uneven = f"; imbalanced, {ratio:.1f} to 1" if ratio >= IMBALANCED else "; balanced"
    few = f"; {plural(len(rare), 'class')} under 1 %" if rare else ""
    where = " in the sample" if sample else ""
    guess = f"; always predicting {ordered[0][0]} is right for {ordered[0][1] / total:.1%}"
    yield f"{column}{where}: {shown}{uneven}{few}{guess}"


def fingerprint(row: DatasetRow) -> str:
    """Return a key that is equal for rows with equal values."""
    return json.dumps(row, sort_keys=True, default=str)


def duplicate_lines(rows: Sequence[DatasetRow]) -> list[str]:
    """Report rows, and texts of a column, that occur more than once."""
    if len(rows) < 2:
        return []
    lines = [_repeated("rows", [fingerprint(row) for row in rows])]
    for name in rows[0]:
        values = [row[name].strip() for row in rows if isinstance(row.get(name), str) and len(row[name]) > 20]
        if len(values) > len(rows) // 2:
            lines.append(_repeated(f"texts of {name}", values))
    return [line for line in lines if line] or [f"none ({plural(len(rows), 'row')} examined)"]


def _repeated(what: str, values: Sequence[str]) -> str:
    extra = len(values) - len(set(values))
    return f"{extra} of {len(values)} {what} are duplicates" if extra else ""


def overlap_lines(samples: Mapping[str, Sequence[DatasetRow]]) -> list[str]:
    """Report rows that occur in two splits, among those examined."""
    prints = {split: {fingerprint(row) for row in rows} for split, rows in samples.items()}
    names = list(prints)
    return [
        f"{len(shared)} of the rows examined occur in both {one} and {other}"
        for place, one in enumerate(names)
        for other in names[place + 1 :]
        if (shared := prints[one] & prints[other])
    ]
