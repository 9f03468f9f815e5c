"""The score of an attempt with its interval."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

from ml_intern.search.student import quantile
from ml_intern.search.tree import Score


def score_of(values: Sequence[float], seeds: Sequence[int], rows: int = 0, predictions: str = "") -> Score:
    """Return the score with its 95 % interval: from the spread of the values, or from the rows of a share."""
    mean = fmean(values)
    half = 0.0
    if len(values) > 1:
        half = quantile(0.025, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    if not half and rows and 0 <= mean <= 1:
        half = NormalDist().inv_cdf(0.975) * math.sqrt(mean * (1 - mean) / rows)
    return Score(tuple(values), tuple(seeds), mean - half, mean + half, predictions)
