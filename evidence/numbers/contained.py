"""Whether texts contain a number, whatever it is about: as it is, rounded, or as a percentage. Pure."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_WRITTEN: Final = re.compile(r"(\d[\d,_]*(?:\.\d+)?|\.\d+)([eE][-+]?\d+)?(\s?%)?")
_ROUNDED_TO_WHOLE: Final = 10


@dataclass(frozen=True)
class WrittenNumber:
    """A number as a text writes it, with its decimals."""

    value: float
    digits: int
    percent: bool

    @property
    def tolerance(self) -> float:
        """The largest difference that rounding explains."""
        rounded = self.digits > 0 or self.value >= _ROUNDED_TO_WHOLE
        return 0.5 * 10.0**-self.digits * (1 + 1e-9) if rounded else 1e-12


class ContainedNumbers:
    """The numbers of some texts. Signs are ignored."""

    def __init__(self, texts: Iterable[str], more: Iterable[float] = ()) -> None:
        found = [one for text in texts for one in _numbers_of(text)]
        self._values = sorted({*(abs(value) for value, _ in found), *map(abs, more)})
        self._percents = sorted({abs(value) for value, percent in found if percent})

    def has(self, one: WrittenNumber) -> bool:
        """Whether one of the numbers rounds to it, as a fraction or as a percentage."""
        low, high = one.value - one.tolerance, one.value + one.tolerance
        if _between(self._values, low, high):
            return True
        if one.percent or (one.digits > 0 and 1 < one.value <= 100):
            # A table of percentages often omits the percent sign
            return _between(self._values, low / 100, high / 100)
        return _between(self._percents, low * 100, high * 100)


def _between(values: Sequence[float], low: float, high: float) -> bool:
    place = bisect_left(values, low)
    return place < len(values) and values[place] <= high


def _numbers_of(text: str) -> Iterator[tuple[float, bool]]:
    """Yield every number in a text, and whether it is a percentage."""
    for found in _WRITTEN.finditer(text):
        try:
            yield float(f"{found[1].replace(',', '').replace('_', '')}{found[2] or ''}"), bool(found[3])
        except ValueError:
            continue
