"""The noise of the evaluator, measured over the attempts of a search."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Final, Self

from ml_intern.search.plan import SEED, SearchPlan
from ml_intern.search.tree import Score

_BASELINE_TIMES: Final = 2


@dataclass(frozen=True)
class Noise:
    """The spread of the metric from one seed to the next, for the same files."""

    sd: float
    """Standard deviation of one evaluation."""
    degrees: int
    """Its degrees of freedom. With 0 the noise is unknown."""
    shared: float = 0.0
    """The share of the variance that attempts have in common when they use the same seeds, 0 to 1."""
    rows: int = 0
    """Rows that the metric is computed on; 0 if the evaluator does not print them."""

    @classmethod
    def of(cls, scores: Iterable[Score], rows: int = 0) -> Self:
        """Measure the noise over the scores of all attempts."""
        repeated = [one for one in scores if len(one.values) > 1]
        degrees = sum(len(one.values) - 1 for one in repeated)
        if not degrees:
            return cls(0.0, 0, rows=rows)
        squares = sum(variance(one.values) * (len(one.values) - 1) for one in repeated)
        return cls(math.sqrt(squares / degrees), degrees, _shared(repeated), rows)


def baseline_evaluations(plan: SearchPlan) -> int:
    """Return how many evaluations the baseline gets, at least two.

    With seeds they are twice those of an attempt: the first attempts are all compared with it, and if its seeds are
    lucky, gains look like noise for the whole search.
    """
    return max(2, plan.evaluations * (_BASELINE_TIMES if SEED in plan.evaluator else 1))


def _shared(scores: Sequence[Score]) -> float:
    """Return the correlation between the scores with the most common seeds, by an analysis of variance.

    With fewer than three of them it is 0.
    """
    common, attempts = Counter(one.seeds for one in scores).most_common(1)[0]
    same, seeds = [one for one in scores if one.seeds == common], len(common)
    if attempts < 3:
        return 0.0
    centred = [[value - one.mean for value in one.values] for one in same]
    total = sum(value**2 for line in centred for value in line) / (attempts * (seeds - 1))
    by_seed = sum(fmean(column) ** 2 for column in zip(*centred, strict=True)) / (seeds - 1)
    share = (by_seed * attempts / total - 1) / (attempts - 1) if total else 0.0
    return min(max(share, 0.0), 1.0)
