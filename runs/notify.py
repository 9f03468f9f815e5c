"""The conditions that wake the model while a run continues: a line, a metric, or silence. No model is asked."""

import json
import math
import operator
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from ml_intern.store.runs import Notice
from ml_intern.text.formatting import duration

MAX_CONDITIONS = 10
MAX_TEXT = 300
HELP = "use METRIC > NUMBER (also >=, <, <=, ==), METRIC is nan, line TEXT, or no line for 10 min"
_NAME = r"[A-Za-z_][\w./@-]{0,60}"
_SILENCE = re.compile(
    r"no (?:line|output) for (\d+(?:\.\d+)?) ?(seconds|second|sec|s|minutes|minute|min|m|hours|hour|h)", re.IGNORECASE
)
_LINE = re.compile(r"line (?:contains )?(.+)", re.IGNORECASE)
_NOT_FINITE = re.compile(rf"({_NAME}) is (nan|inf|not finite)", re.IGNORECASE)
_COMPARED = re.compile(rf"({_NAME}) ?(>=|<=|==|>|<) ?([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
"""Seconds by the first letter of a unit."""
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq,
}  # fmt: skip
_IS: Final[Mapping[str, Callable[[float], bool]]] = {
    "nan": math.isnan, "inf": math.isinf, "not finite": lambda value: not math.isfinite(value),
}  # fmt: skip


class Condition(Protocol):
    """A condition on a run. `met` returns what met it, "" otherwise."""

    def met(self, seen: "Seen", /) -> str:
        """Return what met the condition: a line, a metric and its value, or the silence; "" otherwise."""
        ...


@dataclass(frozen=True)
class Seen:
    """New output of a run: one line, the metrics in it, or the seconds since the last line."""

    line: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    silent_s: float = 0.0


@dataclass(frozen=True)
class Silence:
    """No line for some time."""

    seconds: float

    def met(self, seen: Seen, /) -> str:
        """Return how long the run has printed nothing."""
        return f"no line for {duration(seen.silent_s)}" if seen.silent_s >= self.seconds else ""


@dataclass(frozen=True)
class LineContains:
    """A line that contains a text, in upper or lower case."""

    text: str

    def met(self, seen: Seen, /) -> str:
        """Return the line."""
        return seen.line.strip() if self.text.casefold() in seen.line.casefold() else ""


@dataclass(frozen=True)
class MetricIs:
    """A metric whose value passes a test."""

    name: str
    test: Callable[[float], bool]

    def met(self, seen: Seen, /) -> str:
        """Return the metric and its value."""
        value = seen.metrics.get(self.name)
        return f"{self.name} {value:.6g}" if value is not None and self.test(value) else ""


def condition_of(text: str) -> Condition:
    """Parse a condition. Raises ValueError with the accepted forms."""
    words = " ".join(text.split())
    if found := _SILENCE.fullmatch(words):
        return Silence(float(found[1]) * _SECONDS[found[2][0].lower()])
    if found := _NOT_FINITE.fullmatch(words):
        return MetricIs(found[1], _IS[found[2].lower()])
    if found := _COMPARED.fullmatch(words):
        compare, bound = _COMPARE[found[2]], float(found[3])
        return MetricIs(found[1], lambda value: compare(value, bound))
    if found := _LINE.fullmatch(words):
        return LineContains(found[1].strip("\"'"))
    raise ValueError(f"{text[:100]!r} is not a condition; {HELP}")


def checked_conditions(texts: Iterable[str]) -> list[str]:
    """Return the conditions, with those separated by semicolons apart. Raises ValueError."""
    found = [" ".join(part.split()) for text in texts for part in text.split(";") if part.strip()]
    for text in found:
        condition_of(text)
    if len(found) > MAX_CONDITIONS:
        raise ValueError(f"at most {MAX_CONDITIONS} conditions per run")
    return list(dict.fromkeys(found))


class Conditions:
    """The conditions of one run. Each is met once after it was set. `notices` contains those met earlier and now."""

    def __init__(self, notify_when: str, notices: str) -> None:
        self.notices = [Notice(**one) for one in json.loads(notices)]
        met = {one.condition: one.time for one in self.notices}
        since = {text: float(one) for text, one in json.loads(notify_when).items()}
        self._since = {text: one for text, one in since.items() if met.get(text, 0.0) < one}
        self._open = {text: condition_of(text) for text in self._since}

    @property
    def metrics(self) -> Collection[str]:
        """Return the names of the metrics that conditions mention."""
        return {one.name for one in self._open.values() if isinstance(one, MetricIs)}

    @property
    def is_open(self) -> bool:
        """Whether a condition is not met yet."""
        return bool(self._open)

    def check(self, seen: Seen, now: float) -> None:
        """Add a notice for each condition that is met for the first time."""
        for text, condition in list(self._open.items()):
            counted = replace(seen, silent_s=min(seen.silent_s, now - self._since[text]))
            if what := condition.met(counted):
                del self._open[text]
                self.notices.append(Notice(text, what[:MAX_TEXT], now))


def conditions_json(texts: Iterable[str]) -> str:
    """Return conditions as JSON for the row of a run: each with the time from which it counts."""
    return json.dumps(dict.fromkeys(texts, time.time()))


def notices_json(notices: Sequence[Notice]) -> str:
    """Return notices as JSON for the row of a run."""
    return json.dumps([vars(one) for one in notices])
