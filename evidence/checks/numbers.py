"""Check the numbers of an answer: a program must have printed or written each of them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from math import inf
from pathlib import Path
from typing import Final

from ml_intern.evidence.checks.parsing import parsed_nodes
from ml_intern.evidence.code.extract import notebook_outputs
from ml_intern.evidence.code.syntax.folded import folded_numbers
from ml_intern.evidence.numbers.agreement import Agreement, MeasuredColumn, Measurements, agrees
from ml_intern.evidence.numbers.columns import read_columns
from ml_intern.evidence.numbers.measured import Measured, measured_in
from ml_intern.evidence.numbers.stated import Stated, stated_in
from ml_intern.evidence.observations import Execution, Observations
from ml_intern.evidence.verdict import Claim

_DECIMAL: Final = re.compile(r"(?<![\w.])[\d,]*\.\d+")
_MAX_FILE: Final = 300_000
_TEXT_FILES: Final = frozenset(
    {".json", ".jsonl", ".txt", ".log", ".csv", ".tsv", ".md", ".yaml", ".yml", ".out", ".ipynb", ""}
)
_MIN_DIGITS: Final = 3
"""Significant digits from which a number that the agent typed is not a measurement when a program prints it."""
MAX_CLAIMS: Final = 100


@dataclass(frozen=True)
class Numbers:
    """The numbers of a thread, by where they come from."""

    seen: Observations

    @cached_property
    def printed(self) -> Measurements:
        """Return the numbers that programs printed or wrote, and that the agent had not typed before."""
        texts = [(run, name, text) for run in self.seen.programs for name, text in self._texts_of(run)]
        return Measurements(
            MeasuredColumn(column, name, place, partial(self._is_measured, run))
            for place, (run, name, text) in enumerate(texts)
            for column in read_columns(text, self.seen.readings)
        )

    @cached_property
    def known(self) -> Measurements:
        """Return the measured and the reported numbers."""
        return self.printed + self.reported

    @cached_property
    def reported(self) -> Measurements:
        """Return the numbers that the agent read elsewhere: in files that this thread did not write, and on the web."""
        own = {self.seen.short(path) for path in self.seen.written}
        texts = [
            (name, text)
            for name, text in self.seen.reports
            if not (name.startswith("read ") and _path_of(name) in own | {f"./{path}" for path in own})
        ]
        return Measurements(
            MeasuredColumn(column, name, place)
            for place, (name, text) in enumerate(texts)
            for column in read_columns(text, self.seen.readings)
        )

    @cached_property
    def typed(self) -> list[Measured]:
        """Return the numbers that the agent wrote."""
        return [one for text in self.seen.typed for one in measured_in(text.text, self.seen.short(text.path))]

    @cached_property
    def of_user(self) -> Measurements:
        """Return the numbers of the user's messages."""
        return Measurements.of_text(self.seen.user_text, "the user's message")

    @cached_property
    def _first_typed(self) -> dict[str, float]:
        """Return the time at which the agent first typed each number with a decimal point."""
        typed = sorted(self.seen.typed, key=lambda one: one.when, reverse=True)
        found = {number: one.when for one in typed for number in _DECIMAL.findall(one.text)}
        return {number: when for number, when in found.items() if _significant(number) >= _MIN_DIGITS}

    def _is_measured(self, run: Execution, token: str) -> bool:
        """Whether the agent had not typed the digits that a run printed, nor the constants they were computed from."""
        return self._first_typed.get(token, inf) > run.began and not self._is_folded(run, token)

    def _is_folded(self, run: Execution, token: str) -> bool:
        """Whether the code of a run computes a number from its constants alone."""
        if _significant(token) < _MIN_DIGITS or "." not in token:
            return False
        value, rounding = float(token.replace(",", "")), 0.5 * 10.0 ** -len(token.partition(".")[2])
        made = {one for _, code in self.seen.sources(run) for one in _folded_in(code)}
        return any(abs(one - value) <= rounding for number in made for one in (number, 100 * number))

    def _texts_of(self, run: Execution) -> Iterator[tuple[str, str]]:
        """Yield what a run printed, and the texts of the files that it wrote last, with their names."""
        yield run.name, run.text
        written = self.seen.written if run.written else {}
        for name in run.written:
            path = Path(name)
            if written.get(name) == run.name and path.suffix in _TEXT_FILES and _is_small(path):
                text = path.read_text(encoding="utf-8", errors="replace")
                shown = notebook_outputs(text) if path.suffix == ".ipynb" else text
                yield f"{self.seen.short(name)} of {run.name}", shown


@lru_cache(maxsize=128)
def _folded_in(code: str) -> frozenset[float]:
    return folded_numbers(parsed_nodes(code))


def _significant(token: str) -> int:
    return len(token.replace(",", "").replace(".", "").lstrip("0"))


def _is_small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _MAX_FILE


def _path_of(name: str) -> str:
    return name.partition(" ")[2].removeprefix("./")


def number_claims(answer: str, numbers: Numbers, place: str = "") -> Iterator[Claim]:
    """Yield a claim for each number of an answer, or of a card at `place`, that claims a result."""
    stated = stated_in(answer)
    for one in stated[:MAX_CLAIMS]:
        if not one.noun and (claim := _claim(one, stated, numbers)):
            yield claim if not place else _at(claim, place)


def _at(claim: Claim, place: str) -> Claim:
    return Claim(
        f"{place}: {claim.text}", claim.state, claim.evidence, claim.name, claim.value, claim.unit, claim.source
    )


def _claim(one: Stated, stated: Sequence[Stated], numbers: Numbers) -> Claim | None:
    measured = agrees(one, numbers.printed, stated)
    if measured.held and measured.support is not None:
        how = f", {measured.how}" if measured.how else ""
        return _made(one, "held", f"printed by {measured.support.source}{how}", measured.support.source)
    if one.quoted and agrees(one, numbers.of_user, stated).held:
        return None
    reported = agrees(one, numbers.known, stated)
    if reported.held and reported.support is not None:
        return _made(one, "held", f"read from {reported.support.source}, not measured here", reported.support.source)
    if not one.firm and (not (one.compared or one.spread or one.unit) or _stands(one, numbers)):
        return None if _stands(one, numbers) or one.digits <= 0 else _made(one, "unsupported", "no program printed it")
    return _unsupported(one, measured, numbers)


def _stands(one: Stated, numbers: Numbers) -> bool:
    """Whether the number stands in what the agent typed or the user wrote, as a setting does."""
    return any(abs(other.value - one.value) <= one.tolerance for other in [*numbers.typed, *numbers.of_user.all])


def _unsupported(one: Stated, measured: Agreement, numbers: Numbers) -> Claim:
    """Return the claim with what is known instead. One measured value of the same name contradicts it."""
    same = [other for other in measured.others if other.metric == one.metric and other.source]
    values = list(dict.fromkeys(f"{other.label} {other.token}{'%' if other.percent else ''}" for other in same))
    origin = _origin(one, numbers)
    if (
        measured.fitting
        and len({other.value for other in same}) == 1
        and one.firm
        and not one.compared
        and not one.spread
    ):
        return _made(one, "contradicted", f"{same[0].source} printed {values[0]}{origin}", same[0].source)
    if values:
        return _made(one, "unsupported", f"no program printed it; printed were {', '.join(values[-5:])}{origin}")
    return _made(one, "unsupported", f"no program of this thread printed it{origin}")


def _origin(one: Stated, numbers: Numbers) -> str:
    for found, words in (
        (numbers.typed, "the agent wrote it"),
        (numbers.of_user.all, "it stands in the user's message"),
    ):
        for other in found:
            if abs(other.value - one.value) <= one.tolerance:
                return f"; {words}{f' into {other.source}' if found is numbers.typed and other.source else ''}"
    return ""


def _made(one: Stated, state: str, evidence: str, source: str = "") -> Claim:
    name = " ".join(filter(None, [*sorted(one.roles), one.averaging, one.metric]))
    text = re.sub(r"\s+", " ", f"{name} {one.text}".strip())
    return Claim(text, state, evidence, one.metric, one.value, one.unit, source)  # type: ignore[arg-type]
