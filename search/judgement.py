"""Whether an attempt is better than its parent, beyond the noise and for the number of attempts. Pure functions.

There are two stages. `screen` looks at the first evaluations and says on how many fresh seeds the attempt and its
parent must be evaluated. `judge` compares the fresh evaluations only: the first ones are biased, because they decided
that the attempt is worth more. After a near miss further fresh seeds are added for a second look, and each look gets
half of the level. A search of `planned` attempts divides its level by them (Bonferroni), so that all judgements
together err with a probability of at most `level`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import Final

from ml_intern.search.noise import Noise
from ml_intern.search.plan import Objective
from ml_intern.search.scores import score_of
from ml_intern.search.student import quantile, upper_tail
from ml_intern.search.tree import Score
from ml_intern.text.formatting import plural

PROMISING: Final = 0.2
"""The share of attempts without any difference that pass the first stage."""
MIN_FRESH: Final = 6
MAX_FRESH: Final = 12
MAX_LOOKED: Final = 24
"""Fresh seeds in the second look."""
LOOKS: Final = 2
_POWER: Final = 1.28
"""The normal quantile of 90 %: how often a gain as large as the observed one is to be confirmed."""
_PAIRED: Final = 0.5
"""From this share of common variance on, evaluations with the same seed are compared in pairs."""


MIN_UNTESTED: Final = 0.01
"""The smallest gain, as a share of what there is to gain or lose, where chance cannot be measured."""


@dataclass(frozen=True)
class Judgement:
    """Whether an attempt is better, and the reason as a fact."""

    better: bool
    reason: str
    near: bool = False
    """Not better, but more than the chance that the first stage allows: it may be better together with another."""


@dataclass(frozen=True)
class Screening:
    """The result of the first stage. `evaluations` is the number of fresh seeds; 0 means that none would add anything:
    judge the first evaluations."""

    promising: bool
    evaluations: int
    reason: str


def screen(
    candidate: Score, parent: Score, noise: Noise, planned: int, level: float, objective: Objective
) -> Screening:
    """Decide from the first evaluations whether an attempt is worth a confirmation."""
    if noise.shared >= _PAIRED:
        parent = _with_seeds(parent, candidate.seeds)
    gain = objective.gain(candidate.mean, parent.mean)
    if gain <= 0:
        return Screening(promising=False, evaluations=0, reason=_no_gain(candidate, parent, objective))
    if _exact(candidate, parent, noise):
        return Screening(promising=True, evaluations=0, reason=f"{_change(candidate, parent)}, without spread")
    paired = noise.shared >= _PAIRED and candidate.seeds == parent.seeds
    sd = max(noise.sd, _own_sd(candidate, parent)) * math.sqrt(1 - noise.shared if paired else 1)
    error = sd * math.sqrt(1 / len(candidate.values) + 1 / len(parent.values))
    if gain < NormalDist().inv_cdf(1 - PROMISING) * error:
        reason = f"{_change(candidate, parent)} is within the noise: standard error {error:.3g}"
        return Screening(promising=False, evaluations=0, reason=reason)
    fresh = _fresh_seeds(gain / sd if sd else math.inf, 1 if paired else 2, level / planned / LOOKS)
    return Screening(promising=True, evaluations=fresh, reason=f"{_change(candidate, parent)} at first")


def judge(candidate: Score, parent: Score, noise: Noise, planned: int, level: float, objective: Objective) -> Judgement:
    """Decide from fresh evaluations whether an attempt is better than its parent at `level` / `planned`."""
    gain = objective.gain(candidate.mean, parent.mean)
    if gain <= 0:
        return Judgement(better=False, reason=_no_gain(candidate, parent, objective))
    if _exact(candidate, parent, noise):
        return _judge_exact(candidate, parent, noise, level / planned)
    if min(len(candidate.values), len(parent.values)) < 2:
        return Judgement(better=False, reason="one evaluation is not enough to compare with the noise")
    if noise.shared >= _PAIRED and candidate.seeds == parent.seeds:
        error, degrees = _paired_error(candidate, parent, noise)
    else:
        error, degrees = _separate_error(candidate, parent, noise)
    return decided(gain / error if error else math.inf, degrees, level / planned, _change(candidate, parent))


def judge_look(
    candidate: Score, parent: Score, noise: Noise, planned: int, level: float, objective: Objective
) -> tuple[Judgement, int]:
    """Judge fresh evaluations. Also return how many further seeds a second look needs; 0 for no second look."""
    judgement = judge(candidate, parent, noise, planned * LOOKS, level, objective)
    return judgement, max(MAX_LOOKED - len(candidate.values), 0) if judgement.near else 0


def joined(one: Score, more: Score) -> Score:
    """Return the score of the evaluations of both."""
    return score_of((*one.values, *more.values), (*one.seeds, *more.seeds))


def _with_seeds(score: Score, seeds: Sequence[int]) -> Score:
    """Return the part of a score that was evaluated with these seeds, or all of it if one of them is missing."""
    values = dict(zip(score.seeds, score.values, strict=True))
    if not {*seeds} <= values.keys():
        return score
    return score_of([values[seed] for seed in seeds], seeds)


def judge_rows(
    candidate: Sequence[float], parent: Sequence[float], planned: int, level: float, objective: Objective
) -> Judgement:
    """Decide from the contributions of the same rows whether their mean is better at `level` / `planned`.

    This is the paired bootstrap of a mean: its variance has a closed form, so that nothing is resampled.
    """
    if len(candidate) != len(parent) or len(candidate) < 2:
        counts = f"{len(parent)} and {plural(len(candidate), 'row')}"
        return Judgement(better=False, reason=f"the predictions have {counts}: they cannot be compared")
    gains = [objective.gain(one, other) for one, other in zip(candidate, parent, strict=True)]
    gain, error = fmean(gains), math.sqrt(variance(gains) / len(gains))
    if gain <= 0 or error == 0:
        return Judgement(better=gain > 0, reason=f"{gain:+.4g} in each of {plural(len(gains), 'row')}")
    return decided(gain / error, len(gains) - 1, level / planned, f"{gain:+.4g} over {plural(len(gains), 'row')}")


def choose_winner(
    reruns: Mapping[int, Score], baseline: Score, objective: Objective, judged: Callable[[Score, Score], Judgement]
) -> tuple[int | None, Judgement]:
    """Return the attempt with the best re-run, if that is better than the baseline's re-run, and the judgement."""
    if not reruns:
        return None, Judgement(better=False, reason="no attempt was better than its parent")
    best = max(reruns, key=lambda number: (objective.gain(reruns[number].mean, baseline.mean), -number))
    judgement = judged(reruns[best], baseline)
    return (best if judgement.better else None), judgement


def decided(t: float, degrees: float, level: float, change: str) -> Judgement:
    """Decide from a gain in standard errors, with its degrees of freedom, at `level`."""
    probability = upper_tail(t, degrees)
    better = probability <= level
    fact = f"{change}: chance alone gives this with a probability of {probability:.2g}"
    return Judgement(better, f"{fact}; the limit is {level:.2g}", near=not better and probability <= PROMISING)


def _paired_error(candidate: Score, parent: Score, noise: Noise) -> tuple[float, float]:
    """Return the standard error of the mean difference of pairs, and its degrees of freedom."""
    pairs = [one - other for one, other in zip(candidate.values, parent.values, strict=True)]
    floor = 2 * noise.sd**2 * (1 - noise.shared)
    return math.sqrt(max(variance(pairs), floor) / len(pairs)), len(pairs) - 1


def _separate_error(candidate: Score, parent: Score, noise: Noise) -> tuple[float, float]:
    """Return the standard error of the difference of two means, and its degrees of freedom (Welch, Satterthwaite).

    A spread below the measured noise is chance: the noise is used for it.
    """
    parts = [max(variance(one.values), noise.sd**2) / len(one.values) for one in (candidate, parent)]
    counts = [len(one.values) - 1 for one in (candidate, parent)]
    degrees = sum(parts) ** 2 / sum(part**2 / count for part, count in zip(parts, counts, strict=True))
    return math.sqrt(sum(parts)), degrees


def _judge_exact(candidate: Score, parent: Score, noise: Noise, level: float) -> Judgement:
    """Compare two values of an evaluator that gives the same value for each seed."""
    change = _change(candidate, parent)
    if not noise.rows or not all(0 <= one.mean <= 1 for one in (candidate, parent)):
        needed = MIN_UNTESTED * _room(parent.mean)
        fact = f"{change}, not tested against noise: a gain counts from {needed:.3g} on"
        return Judgement(abs(candidate.mean - parent.mean) >= needed, fact)
    error = math.sqrt(sum(one.mean * (1 - one.mean) for one in (candidate, parent)) / noise.rows)
    needed = NormalDist().inv_cdf(1 - level) * error
    fact = f"{change} on {plural(noise.rows, 'row')}: chance reaches {needed:.3g}"
    return Judgement(abs(candidate.mean - parent.mean) > needed, fact)


def _room(value: float) -> float:
    """Return the distance of a share to the nearer of 0 and 1, or the size of any other value."""
    return min(value, 1 - value) if 0 < value < 1 else abs(value)


def _fresh_seeds(gain: float, samples: int, level: float) -> int:
    """Return the number of fresh seeds that confirm a gain, in standard deviations, in 90 % of cases, within limits."""
    for count in range(MIN_FRESH, MAX_FRESH):
        if gain / math.sqrt(2 / count) >= quantile(level, samples * (count - 1)) + _POWER:
            return count
    return MAX_FRESH


def _exact(candidate: Score, parent: Score, noise: Noise) -> bool:
    return noise.sd == 0 and _own_sd(candidate, parent) == 0


def _own_sd(*scores: Score) -> float:
    """Return the largest spread of one of the scores."""
    return max((math.sqrt(variance(one.values)) for one in scores if len(one.values) > 1), default=0.0)


def _no_gain(candidate: Score, parent: Score, objective: Objective) -> str:
    if objective.gain(candidate.mean, parent.mean) == 0:
        return f"no difference: {candidate.mean:.4g}"
    return f"worse: {_change(candidate, parent)}"


def _change(candidate: Score, parent: Score) -> str:
    return f"{parent.mean:.4g} to {candidate.mean:.4g}"
