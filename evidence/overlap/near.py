"""Rows that nearly equal a training row: numbers by quantised cells, texts by their word 3-grams."""

import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Final, Protocol

from ml_intern.evidence.overlap.rows import TableRow, is_number

SAMPLE: Final = 10_000
"""At most this many test rows, and as many training rows for comparison, are looked for."""
_KEY_COLUMNS: Final = 4
_MIN_VALUES: Final = 50
_CELL: Final = 0.1
"""Width of a cell in standard deviations; a row is found within half of it."""
_CLOSE: Final = 0.06
_MAX_BUCKET: Final = 50
_WORD: Final = re.compile(r"\w+")
_GRAM_SHARE: Final = 0.4
_MIN_GRAMS: Final = 4


class NearCount(Protocol):
    """Counts sampled rows that have a near copy among other training rows."""

    def take(self, number: int, row: TableRow) -> None:
        """Take one training row with its number."""

    def shares(self) -> tuple[float, float]:
        """Return the share of test rows with a near copy, and that of training rows."""


@dataclass
class _Probes:
    """The rows that are looked for: those of the test split, and training rows with their numbers."""

    test: int
    numbers: list[int]
    found: set[int] = field(default_factory=set[int])

    def shares(self) -> tuple[float, float]:
        test = sum(1 for one in self.found if one < self.test)
        own = len(self.found) - test
        return test / max(self.test, 1), own / max(len(self.numbers) - self.test, 1)


def near_count(
    test: Sequence[TableRow], train: Sequence[tuple[int, TableRow]], skipped: frozenset[int]
) -> NearCount | None:
    """Return a counter for these rows; None if they have neither enough numbers nor a text."""
    text = _text_column(test)
    rows = [*test, *(row for _, row in train)]
    probes = _Probes(len(test), [*([-1] * len(test)), *(number for number, _ in train)])
    if text is not None:
        return _Texts.of(rows, probes, text)
    columns = [at for at in _number_columns(rows) if at not in skipped]
    return _Numbers.of(rows, probes, columns) if len(columns) >= _KEY_COLUMNS else None


def _text_column(rows: Sequence[TableRow]) -> int | None:
    """Return the column with the longest texts of several words."""
    lengths: dict[int, float] = {}
    for at in range(len(rows[0]) if rows else 0):
        counts = [len(_WORD.findall(row[at])) for row in rows[:200] if at < len(row) and not is_number(row[at])]
        if len(counts) > len(rows[:200]) / 2 and statistics.fmean(counts) >= 5:
            lengths[at] = statistics.fmean(counts)
    return max(lengths, key=lambda at: lengths[at]) if lengths else None


def _number_columns(rows: Sequence[TableRow]) -> list[int]:
    """Return the columns of numbers with many values."""
    found = []
    for at in range(len(rows[0]) if rows else 0):
        cells = {row[at] for row in rows[:2000] if at < len(row)}
        if len(cells) >= min(_MIN_VALUES, len(rows[:2000]) // 2) and all(is_number(cell) for cell in cells):
            found.append(at)
    return found


def _numbers(row: TableRow, columns: Sequence[int]) -> list[float] | None:
    try:
        return [float(row[at]) for at in columns]
    except (ValueError, IndexError):
        return None


@dataclass
class _Numbers:
    """Rows of numbers, indexed by cells of few columns; a candidate must be close in all but one column."""

    probes: _Probes
    columns: list[int]
    scales: list[float]
    rows: list[list[float] | None]
    keys: list[tuple[int, ...]]
    index: list[dict[int, list[int]]]

    @classmethod
    def of(cls, rows: Sequence[TableRow], probes: _Probes, columns: list[int]) -> "_Numbers":
        values = [_numbers(row, columns) for row in rows]
        known = [one for one in values if one is not None]
        scales = [statistics.pstdev([one[at] for one in known[:2000]]) or 1.0 for at in range(len(columns))]
        keys = _disjoint(len(columns))
        made = cls(probes, columns, scales, values, keys, [{} for _ in keys])
        for number, row in enumerate(values):
            if row is not None:
                made._add(number, row)
        return made

    def _add(self, number: int, row: list[float]) -> None:
        for key, index in zip(self.keys, self.index, strict=True):
            for cells in product(*(self._near_cells(row[at], self.scales[at]) for at in key)):
                bucket = index.setdefault(hash(cells), [])
                if len(bucket) < _MAX_BUCKET:
                    bucket.append(number)

    def _near_cells(self, value: float, scale: float) -> tuple[int, int]:
        """Return the cell of a value and the neighbour that is nearest to it."""
        position = value / (scale * _CELL)
        cell = int(position // 1)
        return cell, cell + (1 if position - cell > 0.5 else -1)

    def take(self, number: int, row: TableRow) -> None:
        values = _numbers(row, self.columns)
        if values is None:
            return
        for key, index in zip(self.keys, self.index, strict=True):
            cells = tuple([int(values[at] / (self.scales[at] * _CELL) // 1) for at in key])
            for candidate in index.get(hash(cells), ()):
                if candidate not in self.probes.found and self.probes.numbers[candidate] != number:
                    self._compare(candidate, values)

    def _compare(self, candidate: int, values: list[float]) -> None:
        other = self.rows[candidate] or []
        far = sum(abs(a - b) > _CLOSE * scale for a, b, scale in zip(values, other, self.scales, strict=True))
        if far <= (1 if len(values) > _KEY_COLUMNS else 0):
            self.probes.found.add(candidate)

    def shares(self) -> tuple[float, float]:
        return self.probes.shares()


def _disjoint(count: int) -> list[tuple[int, ...]]:
    """Return two keys of columns, disjoint if there are enough."""
    if count >= 2 * _KEY_COLUMNS:
        return [tuple(range(_KEY_COLUMNS)), tuple(range(_KEY_COLUMNS, 2 * _KEY_COLUMNS))]
    every: list[tuple[int, ...]] = list(combinations(range(count), _KEY_COLUMNS))
    return [every[0], every[-1]] if len(every) > 1 else every


@dataclass
class _Texts:
    """Texts, indexed by their word 3-grams; a copy shares a large part of them."""

    probes: _Probes
    column: int
    sizes: list[int]
    index: dict[int, list[int]]

    @classmethod
    def of(cls, rows: Sequence[TableRow], probes: _Probes, column: int) -> "_Texts":
        made = cls(probes, column, [], {})
        for number, row in enumerate(rows):
            grams = set(_grams(row[column] if column < len(row) else ""))
            made.sizes.append(len(grams))
            for gram in grams if len(grams) >= _MIN_GRAMS else ():
                bucket = made.index.setdefault(gram, [])
                if len(bucket) < _MAX_BUCKET:
                    bucket.append(number)
        return made

    def take(self, number: int, row: TableRow) -> None:
        shared: dict[int, int] = {}
        for gram in set(_grams(row[self.column] if self.column < len(row) else "")):
            for candidate in self.index.get(gram, ()):
                shared[candidate] = shared.get(candidate, 0) + 1
        for candidate, count in shared.items():
            enough = count >= max(3, _GRAM_SHARE * self.sizes[candidate])
            if enough and self.probes.numbers[candidate] != number:
                self.probes.found.add(candidate)

    def shares(self) -> tuple[float, float]:
        return self.probes.shares()


def _grams(text: str) -> Iterator[int]:
    found = _WORD.findall(text.lower())
    return (hash(gram) for gram in zip(found, found[1:], found[2:], strict=False))
