"""Whether a stated number agrees with measured ones: as it is, as a percentage, or derived from those of its metric."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from statistics import mean, pstdev, stdev
from typing import Final, NamedTuple

from ml_intern.evidence.numbers.columns import NumberColumn, columns_of
from ml_intern.evidence.numbers.measured import Measured, NumberLabel, measured_in
from ml_intern.evidence.numbers.names import RATES, ROW_NOUNS
from ml_intern.evidence.numbers.stated import Stated

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_WHOSE: Final = frozenset({"baseline", "old"})
_SPLITS: Final = frozenset({"train", "valid", "test"})
_SPREADS: Final = frozenset({"se", "sd"})
_SETTING: Final = re.compile(
    r"\b(?:lr|learning rate|alpha|dropout|seed|step|epoch|time|seconds?|weight decay|momentum)$"
)
_MAX_COMPARED: Final = 40
_CONVERSIONS: Final[Mapping[tuple[str, str], tuple[str, Callable[[float], float]]]] = {
    ("error", "accuracy"): ("1 - accuracy", lambda value: 1 - value),
    ("accuracy", "error"): ("1 - error", lambda value: 1 - value),
    ("perplexity", "loss"): ("exp(loss)", math.exp),
    ("loss", "perplexity"): ("ln(perplexity)", math.log),
    ("bpc", "loss"): ("loss / ln 2", lambda value: value / math.log(2)),
    ("rmse", "mse"): ("sqrt(mse)", math.sqrt),
    ("mse", "rmse"): ("rmse squared", lambda value: value**2),
}
"""How the value of one metric follows from another: (wanted, measured) -> description and function."""
_FEW_DIGITS: Final = 2
_MAX_CONVERTED: Final = 500.0


class MeasuredColumn(NamedTuple):
    """Numbers of one label from one source."""

    column: NumberColumn
    source: str
    place: int = 0
    """The position of the source among all."""
    counts: Callable[[str], bool] = lambda _: True
    """Whether a number with these digits is a measurement."""


class Measurements:
    """Measured numbers. Those of a label are read when they are asked for."""

    def __init__(self, columns: Iterable[MeasuredColumn]) -> None:
        self._columns = tuple(columns)
        self._read: dict[int, list[Measured]] = {}
        self._of_metric: dict[str, list[Measured]] = {}

    @classmethod
    def of_text(cls, text: str, source: str) -> "Measurements":
        """Return the numbers of one text."""
        return cls.of_numbers(measured_in(text, source), source)

    @classmethod
    def of_numbers(cls, numbers: Iterable[Measured], source: str) -> "Measurements":
        """Return numbers of one source."""
        return cls(MeasuredColumn(one, source) for one in columns_of(numbers))

    def __add__(self, other: "Measurements") -> "Measurements":
        last = max((one.place for one in self._columns), default=0) + 1
        return Measurements([*self._columns, *(one._replace(place=one.place + last) for one in other._columns)])

    def labelled(self, matches: Callable[[NumberLabel], bool]) -> list[Measured]:
        """Return the numbers whose label matches, in the order in which they were printed."""
        chosen = [number for number, one in enumerate(self._columns) if matches(one.column.about)]
        found = [(self._columns[number].place, one) for number in chosen for one in self._numbers(number)]
        return [one for _, one in sorted(found, key=lambda pair: (pair[0], pair[1].group))]

    def _numbers(self, number: int) -> list[Measured]:
        if number not in self._read:
            column, source, _, counts = self._columns[number]
            self._read[number] = [one for one in column.numbers(source) if counts(one.token)]
        return self._read[number]

    @cached_property
    def all(self) -> list[Measured]:
        """Return all numbers."""
        return self.labelled(lambda _: True)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics of the numbers."""
        return tuple(dict.fromkeys(one.column.about.metric for one in self._columns))

    def of(self, metric: str) -> list[Measured]:
        """Return the numbers of a metric; those without one for ""."""
        if metric not in self._of_metric:
            self._of_metric[metric] = self.labelled(lambda about: about.metric == metric)
        return self._of_metric[metric]

    @cached_property
    def lists(self) -> list[list[Measured]]:
        """Return the numbers that were printed as a list, or line by line with the same label."""
        return _lists(self.labelled(lambda about: about.metric != ""))

    def whose(self, metric: str) -> frozenset[str]:
        """Return whether numbers of a baseline or of an old model are among those of a metric or without one."""
        found = self.labelled(lambda about: about.metric in ("", metric) and bool(about.roles & _WHOSE))
        return frozenset[str]().union(*(one.roles for one in found)) & _WHOSE


@dataclass(frozen=True)
class Agreement:
    """The measured number that supports a stated one, and how; or else the measured ones of the same name."""

    support: Measured | None = None
    how: str = ""
    others: tuple[Measured, ...] = ()
    fitting: bool = False
    """Whether `others` are about the same thing, not only of the same name."""

    @property
    def held(self) -> bool:
        """Whether a measurement supports the number."""
        return self.support is not None


def agrees(claim: Stated, measured: Measurements, stated: Sequence[Stated]) -> Agreement:
    """Find the support of a stated number. `stated` are the numbers of the same answer, which it may compare."""
    if claim.noun:
        return _count(claim, measured)
    named = measured.of(claim.metric) if claim.metric else []
    whose = measured.whose(claim.metric)
    fitting = [one for one in named if _same_thing(claim, one, named, whose)]
    for one in fitting:
        if _equal(claim, one):
            return Agreement(one)
    for how, value, one in _derived(claim, measured, stated):
        if _close(claim, value):
            return Agreement(one, how)
    if (not named or claim.roles & whose or claim.digits > _FEW_DIGITS) and (unnamed := _unnamed(claim, measured)):
        return Agreement(unnamed)
    return Agreement(others=tuple(fitting or named), fitting=bool(fitting))


def _same_thing(claim: Stated, one: Measured, named: Sequence[Measured], present: frozenset[str]) -> bool:
    """Whether a measured number may be what the claim is about: whose it is, on which data, and its averaging.

    `present` says whether numbers of a baseline or of an old model were printed at all.
    """
    whose = claim.roles & _WHOSE
    if whose:
        if whose & present and not one.roles & whose:
            return False
    elif one.roles & _WHOSE and not claim.compared:
        return False
    splits = claim.roles & _SPLITS
    if splits and one.roles & _SPLITS and not splits & one.roles:
        return False
    of_folds = "fold" in claim.roles or "fold" in claim.sentence.lower()
    if "fold" in one.roles and not of_folds and any("fold" not in other.roles for other in named):
        return False
    return not (claim.averaging and one.averaging and claim.averaging != one.averaging)


def _equal(claim: Stated, one: Measured) -> bool:
    if claim.unit in _SECONDS and one.unit in _SECONDS and claim.unit != one.unit:
        return _within(claim, one.value * _SECONDS[one.unit] / _SECONDS[claim.unit])
    if claim.unit in ("points", "x"):
        return False
    if claim.unit == "%":
        if one.percent or one.value > 1 or (one.unit == "" and "percent" in one.label):
            return _within(claim, one.value)
        return _within(claim, one.value * 100)
    return _close(claim, one.value / 100 if one.percent else one.value) or _within(claim, one.value)


def _close(claim: Stated, value: float) -> bool:
    """Whether a value rounds to the claim, as it is or, for a rate, as a percentage."""
    if claim.unit in ("%", "points"):
        return _within(claim, value * 100) or (value > 1 and _within(claim, value))
    if _within(claim, value):
        return True
    as_percent = claim.metric in RATES and claim.digits > 0 and 1 < claim.value <= 100 and value <= 1
    return as_percent and _within(claim, value * 100)


def _within(claim: Stated, value: float) -> bool:
    return math.isfinite(value) and abs(abs(value) - abs(claim.value)) <= claim.tolerance


def _unnamed(claim: Stated, measured: Measurements) -> Measured | None:
    """Return a measured number without a metric of its own that equals the claim."""
    if claim.spread or claim.unit in ("points", "x"):
        return None
    if not claim.firm:
        return next((one for one in measured.all if _equal(claim, one)), None)
    unnamed = measured.labelled(lambda about: not about.metric and not _SETTING.search(about.label))
    return next((one for one in unnamed if _equal(claim, one)), None)


def _count(claim: Stated, measured: Measurements) -> Agreement:
    same = measured.labelled(
        lambda one: one.counted == claim.noun or claim.noun in one.label.split() or _is_n(claim, one)
    )
    for one in same:
        if one.value == claim.value:
            return Agreement(one)
    return Agreement(others=tuple(same))


def _is_n(claim: Stated, one: NumberLabel) -> bool:
    return claim.noun in ROW_NOUNS and (one.label in ("n", "support") or one.label.startswith("n "))


def _derived(claim: Stated, measured: Measurements, stated: Sequence[Stated]) -> Iterator[tuple[str, float, Measured]]:
    if claim.spread:
        yield from _spreads(measured)
        return
    if claim.compared:
        yield from _comparisons(claim, measured, stated)
    if claim.unit not in ("points", "x"):
        yield from _converted(claim, measured)
        yield from _means(claim, measured)


def _converted(claim: Stated, measured: Measurements) -> Iterator[tuple[str, float, Measured]]:
    """Yield what other metrics say about the claim's metric."""
    for (wanted, metric), (how, function) in _CONVERSIONS.items():
        for one in measured.of(metric) if wanted == claim.metric else ():
            if (one.roles & _WHOSE) == claim.roles & _WHOSE and 0 < one.value < _MAX_CONVERTED:
                yield how, function(one.value / 100 if one.percent else one.value), one


def _lists(measured: Iterable[Measured]) -> list[list[Measured]]:
    groups: dict[object, list[Measured]] = defaultdict(list)
    for one in measured:
        if one.metric:
            groups[one.source, one.group].append(one)
            groups[one.source, one.label].append(one)
    return [group for group in groups.values() if len(group) > 1]


def _means(claim: Stated, measured: Measurements) -> Iterator[tuple[str, float, Measured]]:
    """Yield the means of lists, if the claim speaks of a mean, of folds or of a spread."""
    words = claim.sentence.lower()
    if not ("fold" in claim.roles or any(word in words for word in ("mean", "average", "±", "fold", "seed", "avg"))):
        return
    for group in measured.lists:
        if not claim.metric or group[0].metric == claim.metric:
            yield f"mean of {len(group)}", mean(one.value for one in group), group[0]


def _spreads(measured: Measurements) -> Iterator[tuple[str, float, Measured]]:
    for one in measured.labelled(lambda one: "ci" in one.label.split() or "±" in one.label) + [
        one for metric in _SPREADS for one in measured.of(metric)
    ]:
        yield "", one.value, one
        yield "1.96 times", 1.96 * one.value, one
    for group in measured.lists:
        values = [one.value for one in group]
        if group[0].metric not in _SPREADS:
            for value in (pstdev(values), stdev(values)):
                yield "standard deviation", value, group[0]
                yield "standard error", value / math.sqrt(len(values)), group[0]
    rates = [one for metric in RATES for one in measured.of(metric) if 0 < one.value < 1]
    counts = [one.value for one in measured.labelled(counts_rows)]
    for one in rates:
        for n in {count for count in counts if count >= 2}:
            error = math.sqrt(one.value * (1 - one.value) / n)
            yield f"standard error at n = {n:g}", error, one
            yield f"95 % interval at n = {n:g}", 1.96 * error, one


def counts_rows(one: NumberLabel) -> bool:
    """Whether a label is one of a number of rows."""
    return one.counted in ROW_NOUNS or one.label in ("n", "support") or one.label.startswith("n ")


def _comparisons(
    claim: Stated, measured: Measurements, stated: Sequence[Stated]
) -> Iterator[tuple[str, float, Measured]]:
    """Yield differences and ratios between two measured values of one metric: stated ones, or model and baseline."""
    others = [one for one in stated if one is not claim and one.firm | (one.metric == "") and not one.noun]
    for metric in measured.metrics:
        if not metric or (claim.metric and not _comparable(claim.metric, metric)):
            continue
        own = [*measured.of(metric), *measured.labelled(_of_another)]
        named = [one for one in own if any(_equal(other, one) for other in others)]
        against = [one for one in own if one.roles & _WHOSE]
        model = [one for one in own if not one.roles & (_WHOSE | {"fold", "train"})]
        pairs = [*permutations(named[:_MAX_COMPARED], 2), *((a, b) for a in model[-5:] for b in against[-5:])]
        pairs += [(group[-1], group[0]) for group in _lists(own)]
        for a, b in pairs:
            yield from _compared(claim, a, b)


def _of_another(one: NumberLabel) -> bool:
    """Whether a label is of a baseline or an old model, without a metric."""
    return not one.metric and bool(one.roles & _WHOSE)


def _comparable(claimed: str, metric: str) -> bool:
    return claimed == metric or {claimed, metric} == {"error", "accuracy"}


def _compared(claim: Stated, a: Measured, b: Measured) -> Iterator[tuple[str, float, Measured]]:
    difference = abs(a.value - b.value)
    if claim.unit != "x":
        scale = 1 if (a.value <= 1 and b.value <= 1) or claim.unit not in ("points", "%") else 0.01
        yield f"{a.value:g} - {b.value:g}", difference * scale, a
    if claim.unit == "points":
        return
    if b.value:
        yield f"{a.value:g} / {b.value:g}", a.value / b.value, a
        yield f"({a.value:g} - {b.value:g}) / {b.value:g}", difference / abs(b.value), a
    if a.metric == "accuracy" and b.value < 1:
        yield "change of the error", difference / (1 - b.value), a
