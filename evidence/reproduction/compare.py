"""Compare the numbers that an evaluation printed with the claims of an answer."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ml_intern.evidence.findings import Finding
from ml_intern.evidence.numbers.agreement import Measurements, agrees
from ml_intern.evidence.numbers.measured import Measured, measured_in
from ml_intern.evidence.numbers.names import RATES
from ml_intern.evidence.numbers.stated import Stated, stated_in
from ml_intern.evidence.reproduction.fitted_on import Doubt
from ml_intern.evidence.reproduction.plan import Evaluation
from ml_intern.evidence.verdict import Claim

_OTHER: Final = frozenset({"train", "valid", "baseline", "old", "fold"})
"""Roles of numbers that an evaluation of the delivered artifact says nothing about."""
_Z: Final = 1.96
_FOUR_DIGITS: Final = 0.0005
"""The largest rounding of a number of four digits, relative to it."""
_RELATIVE: Final = 0.01
"""The difference that is ignored for metrics that are not rates."""


@dataclass(frozen=True)
class Comparison:
    """The claims with the states that an evaluation gives them, and the numbers that could not be compared."""

    claims: Sequence[Claim]
    findings: Sequence[Finding] = ()
    incomplete: Sequence[str] = ()


def compare(
    answer: str, claims: Sequence[Claim], output: str, evaluation: Evaluation, doubt: Doubt | None = None
) -> Comparison:
    """Return the claims, with the state that the output of the evaluation gives to those that are about it.

    With a doubt, a number that differs contradicts nothing. It is named instead.
    """
    found = [one for one in measured_in(output, evaluation.name) if one.metric]
    stated = {(one.metric, one.value): one for one in stated_in(answer) if _is_about_artifact(one)}
    about = {place: stated[key] for place, one in enumerate(claims) if (key := (one.name, one.value or 0.0)) in stated}
    made = {place: _reproduced(claims[place], one, found, evaluation) for place, one in about.items()}
    agreeing = {claims[place].name for place, claim in made.items() if claim is not None}
    counts = Counter(claims[place].name for place in about)
    result, unclear = list(claims), list[str]()
    for place, one in about.items():
        if (claim := made[place]) is not None:
            result[place] = claim
        elif claims[place].name not in agreeing and _same_metric(one, found):
            several = "the answer gives several of them" if counts[claims[place].name] > 1 else ""
            why = several or (doubt.why if doubt else "")
            result[place], problem = _different(claims[place], one, found, _Given(evaluation, output, why))
            unclear += [problem] if problem else []
    if doubt is not None and doubt.known:
        return Comparison(result, incomplete=unclear)
    return Comparison(result, [Finding("not compared", one) for one in unclear])


def differences(answer: str, claims: Sequence[Claim], output: str, evaluation: Evaluation) -> Iterator[str]:
    """Yield a line for each claim about the artifact that an evaluation on other data puts outside its interval."""
    found = [one for one in measured_in(output, evaluation.name) if one.metric]
    known = {(one.name, one.value) for one in claims}
    for one in filter(_is_about_artifact, stated_in(answer)):
        same = _same_metric(one, found)
        low, high = _interval(one, int(_number(output, "n") or evaluation.rows))
        if same and (one.metric, one.value) in known and not any(low <= _value(other) <= high for other in same):
            gives = f"{same[0].label} is {same[0].token} on the hold-out"
            yield f"{gives}, and the answer says {one.value:g}{one.unit}, which allows {low:.3g} to {high:.3g}"


@dataclass(frozen=True)
class OtherValue:
    """The value of a claim's metric in another output, and whether it is within the interval of the claim."""

    text: str
    within: bool
    interval: str


def other_value(answer: str, claim: Claim, output: str) -> OtherValue | None:
    """Return the last value of a claim's metric that another run of its program printed, or None."""
    stated = [one for one in filter(_is_about_artifact, stated_in(answer)) if (one.metric, one.value) == _key(claim)]
    found = [one for one in measured_in(output, "") if one.metric]
    same = _same_metric(stated[0], found) if stated else []
    same = [one for one in same if one.roles == stated[0].roles] or same
    if not same:
        return None
    low, high = _interval(stated[0], int(_number(output, "n") or 0))
    return OtherValue(f"{same[-1].label} {same[-1].token}", low <= _value(same[-1]) <= high, f"{low:.3g} to {high:.3g}")


def _key(claim: Claim) -> tuple[str, float]:
    return claim.name, claim.value or 0.0


def _same_metric(one: Stated, found: Sequence[Measured]) -> list[Measured]:
    same = [other for other in found if other.metric == one.metric]
    return [other for other in same if other.averaging == one.averaging] or same if one.averaging else same


def _is_about_artifact(one: Stated) -> bool:
    return bool(one.metric) and not (one.roles & _OTHER or one.compared or one.spread or one.noun)


def _reproduced(claim: Claim, one: Stated, found: Sequence[Measured], evaluation: Evaluation) -> Claim | None:
    support = agrees(one, Measurements.of_numbers(found, ""), [one]).support
    if support is None or claim.state == "contradicted":
        return None
    evidence = f"computed again in a fresh sandbox by {evaluation.name}: {support.label} {support.token}"
    return replace(claim, state="reproduced", evidence=evidence)


@dataclass(frozen=True)
class _Given:
    """An evaluation with its output, and why its numbers need not be those of the answer."""

    evaluation: Evaluation
    output: str
    doubt: str


def _different(claim: Claim, one: Stated, found: Sequence[Measured], of: _Given) -> tuple[Claim, str]:
    """Return a claim that the evaluation does not give: contradicted outside its interval, else with a remark.

    With a doubt, the claim keeps its state, and the second value says that the numbers were not compared.
    """
    same = _same_metric(one, found)
    nearest = min(same, key=lambda other: abs(_value(other) - _claimed(one)))
    low, high = _interval(one, int(_number(of.output, "n") or of.evaluation.rows))
    gives = f"{of.evaluation.name} gives {nearest.label} {nearest.token} for the delivered file"
    if claim.state == "contradicted":
        return claim, ""
    if of.doubt and (other := _misnamed(one, same, found)):
        both = f"{of.evaluation.name} gives {other.label} {other.token} and {same[0].label} {same[0].token}"
        return replace(claim, state="contradicted", evidence=f"{both} for the delivered file"), ""
    if low <= _value(nearest) <= high:
        return replace(claim, evidence=f"{claim.evidence}; {gives}, within {low:.3g} to {high:.3g}"), ""
    if not of.doubt:
        return replace(claim, state="contradicted", evidence=f"{gives}, outside {low:.3g} to {high:.3g}"), ""
    problem = f"{gives}, not compared with {claim.text!r}: {of.doubt}"
    return replace(claim, evidence=f"{claim.evidence}; {gives}, not compared: {of.doubt}"), problem


def _misnamed(one: Stated, same: Sequence[Measured], found: Sequence[Measured]) -> Measured | None:
    """Return the other metric that has exactly the claimed value, if the claimed metric has another one.

    Four equal digits show that it is the same model on the same rows, whatever its columns are called.
    """
    if one.tolerance > _FOUR_DIGITS * abs(one.value):
        return None
    others = [other for other in found if other.metric != one.metric and _equal(one, other)]
    return others[0] if others and not any(_equal(one, other) for other in same) else None


def _equal(one: Stated, other: Measured) -> bool:
    return abs(_value(other) - _claimed(one)) <= one.tolerance / (one.value / _claimed(one) if one.value else 1)


def _claimed(one: Stated) -> float:
    return one.value / 100 if one.unit == "%" or (one.metric in RATES and one.value > 1) else one.value


def _value(one: Measured) -> float:
    return one.value / 100 if one.percent else one.value


def _interval(one: Stated, n: int) -> tuple[float, float]:
    """Return the Wilson interval of a rate of n rows, or the rounding of other metrics and 1 %."""
    p = _claimed(one)
    if one.metric not in RATES or n <= 0 or not 0 <= p <= 1:
        margin = max(one.tolerance, abs(p) * _RELATIVE)
        return p - margin, p + margin
    middle, scale = (p + _Z**2 / (2 * n)), 1 + _Z**2 / n
    margin = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
    return (middle - margin) / scale, (middle + margin) / scale


def _number(output: str, label: str) -> float | None:
    return next(_labelled(output, label), None)


def _labelled(output: str, label: str) -> Iterator[float]:
    for line in reversed(output.splitlines()):
        if found := re.search(rf"(?i)(?<![\w.]){label}\s*[=: ]\s*(\d+)(?![\w.])", line):
            yield float(found[1])
