"""Successive halving: a short run of the work ends an attempt that is far below the others."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from ml_intern.search.plan import Objective
from ml_intern.text.formatting import plural

MIN_EARLIER: Final = 4
"""Earlier short runs that a comparison needs."""
FAR: Final = 4.0
"""Distance from the best short run, in standard deviations of an evaluation, from which on an attempt is far below."""


def ends_early(value: float, earlier: Sequence[float], deviation: float, objective: Objective) -> str:
    """Return why an attempt ends after its short run, or "" if it continues.

    `earlier` are the short runs of the attempts before, the baseline included. An attempt ends if it is in the lower
    half of them and further below the best than noise explains.
    """
    if len(earlier) < MIN_EARLIER:
        return ""
    best = max(earlier, key=lambda one: objective.gain(one, 0.0))
    if objective.gain(value, median(earlier)) >= 0 or objective.gain(best, value) <= FAR * deviation:
        return ""
    return f"far below in the short run: {value:.4g}, best of {plural(len(earlier), 'short run')} {best:.4g}"
