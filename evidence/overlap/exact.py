"""Rows of the test split that stand in the training split too, equal in all cells but row numbers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ml_intern.evidence.overlap.rows import TableRow

_MAX_INDEXED: Final = 4_000_000
_OWN_SAMPLE: Final = 200_000


@dataclass
class ExactCount:
    """Counts test rows that occur in the training rows, which are passed one at a time."""

    used: Sequence[int]
    """The positions of the compared cells; empty for all."""
    wanted: dict[int, int] = field(default_factory=dict[int, int])
    """The digest of each test row, with the number of rows that have it."""
    found: set[int] = field(default_factory=set[int])
    own: set[int] = field(default_factory=set[int])
    own_rows: int = 0
    total: int = 0
    indexed: int = 0

    def index(self, test: Iterable[TableRow]) -> None:
        """Take in the test rows."""
        digest = self._digest()
        for row in test:
            if self.indexed >= _MAX_INDEXED:
                return
            self.indexed += 1
            key = digest(row)
            self.wanted[key] = self.wanted.get(key, 0) + 1

    def _digest(self) -> Callable[[TableRow], int]:
        used = self.used
        if not used:
            return hash

        def digest(row: TableRow) -> int:
            return hash(tuple([row[at] for at in used if at < len(row)]))

        return digest

    def counter(self) -> Callable[[TableRow], None]:
        """Return the function that takes one training row."""
        digest, wanted, found, own = self._digest(), self.wanted, self.found, self.own

        def take(row: TableRow) -> None:
            key = digest(row)
            self.total += 1
            if key in wanted:
                found.add(key)
            if self.own_rows < _OWN_SAMPLE:
                self.own_rows += 1
                own.add(key)

        return take

    @property
    def copies(self) -> int:
        """The number of test rows that occur in the training rows."""
        return sum(self.wanted[key] for key in self.found)

    @property
    def share(self) -> float:
        """The share of test rows that occur in the training rows."""
        return self.copies / max(self.indexed, 1)

    @property
    def usual(self) -> float:
        """The share of training rows that repeat another one: what chance alone explains."""
        repeated = 1 - len(self.own) / self.own_rows if self.own_rows else 0.0
        return repeated * self.total / max(self.own_rows, 1)
