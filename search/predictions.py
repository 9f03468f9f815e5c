"""Comparison of two attempts by their predictions for the same rows, for metrics other than means over the rows."""

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Final

from ml_intern.search.judgement import Judgement, decided, judge_rows
from ml_intern.search.plan import SEED, Objective, SearchPlan
from ml_intern.search.tree import Score
from ml_intern.text.formatting import plural

Pair = tuple[Hashable, Hashable]
"""The label of a row and its prediction."""
Metric = Callable[[Mapping[Pair, int]], float]
"""A metric from how often each pair occurs."""
TOLERANCE: Final = 0.006
"""Difference to the printed value that rounding explains."""
_RESAMPLES: Final = (200, 1_000)
_DRAWS: Final = 2_000_000
_POSITIVE: Final = (1, "1", True)


def metric_named(name: str) -> Metric | None:
    """Return the metric with this name; None if it is unknown."""
    plain = re.sub(r"[\W_]+", "_", name.lower()).removeprefix("val_").removeprefix("test_").removesuffix("_score")
    return METRICS.get(plain)


def judge_saved(home: Path, one: Score, other: Score, plan: SearchPlan, planned: int) -> Judgement | None:
    """Compare two scores by their saved rows; None if the evaluator prints none, or uses a seed."""
    if not (one.predictions and other.predictions) or SEED in plan.evaluator:
        return None
    texts = [(home / "rows" / f"{score.predictions}.json").read_text(encoding="utf-8") for score in (one, other)]
    rows, before = (json.loads(text) for text in texts)
    if isinstance(rows[0], list):
        pairs = [[(label, predicted) for label, predicted in some] for some in (rows, before)]
        return judge_predictions(pairs[0], pairs[1], planned, plan.level, plan.objective)
    return judge_rows(rows, before, planned, plan.level, plan.objective)


def judge_predictions(
    candidate: Sequence[Pair], parent: Sequence[Pair], planned: int, level: float, objective: Objective
) -> Judgement:
    """Decide at `level` / `planned` by a paired bootstrap: rows are drawn again, and both metrics computed on them."""
    metric = metric_named(objective.metric)
    if metric is None or [label for label, _ in candidate] != [label for label, _ in parent] or len(parent) < 2:
        rows = f"{len(parent)} and {plural(len(candidate), 'row')}"
        return Judgement(better=False, reason=f"the predictions ({rows}) do not have the same labels")
    both = Counter((label, one, other) for (label, one), (_, other) in zip(candidate, parent, strict=True))
    gain = _gain(both, metric, objective)
    change = f"{gain:+.4g} over {plural(len(parent), 'row')}"
    error = stdev(_resampled(both, metric, objective)) if gain > 0 else 0.0
    if gain <= 0 or error == 0:
        return Judgement(better=gain > 0, reason=change)
    return decided(gain / error, len(parent) - 1, level / planned, f"{change}, resampled")


Both = Mapping[tuple[Hashable, Hashable, Hashable], int]
"""How often each label occurs with the predictions of both."""


def _gain(both: Both, metric: Metric, objective: Objective) -> float:
    one, other = Counter[Pair](), Counter[Pair]()
    for (label, predicted, before), count in both.items():
        one[label, predicted] += count
        other[label, before] += count
    return objective.gain(metric(one), metric(other))


def _resampled(both: Both, metric: Metric, objective: Objective) -> Sequence[float]:
    """Return the gain in samples of the rows, drawn with replacement. The samples are the same each time."""
    kinds, counts, random = [*both], [*both.values()], Random(0)  # noqa: S311 - not for secrets
    rows = sum(counts)
    samples = min(max(_DRAWS // rows, _RESAMPLES[0]), _RESAMPLES[1])
    return [_gain(Counter(random.choices(kinds, counts, k=rows)), metric, objective) for _ in range(samples)]


# --- the metrics, as scikit-learn defines them


def _accuracy(pairs: Mapping[Pair, int]) -> float:
    return sum(count for (label, predicted), count in pairs.items() if label == predicted) / sum(pairs.values())


def _balanced_accuracy(pairs: Mapping[Pair, int]) -> float:
    right, all_of = Counter[Hashable](), Counter[Hashable]()
    for (label, predicted), count in pairs.items():
        all_of[label] += count
        right[label] += count * (label == predicted)
    return fmean(right[label] / count for label, count in all_of.items())


def _f1_of(pairs: Mapping[Pair, int]) -> Mapping[Hashable, float]:
    """Return the F1 of each class, of those that occur as a label or as a prediction."""
    labels, predictions, right = Counter[Hashable](), Counter[Hashable](), Counter[Hashable]()
    for (label, predicted), count in pairs.items():
        labels[label] += count
        predictions[predicted] += count
        right[label] += count * (label == predicted)
    return {name: 2 * right[name] / (labels[name] + predictions[name]) for name in {*labels, *predictions}}


def _macro_f1(pairs: Mapping[Pair, int]) -> float:
    return fmean(_f1_of(pairs).values())


def _weighted_f1(pairs: Mapping[Pair, int]) -> float:
    labels = Counter[Hashable]()
    for (label, _), count in pairs.items():
        labels[label] += count
    found = _f1_of(pairs)
    return sum(found[label] * count for label, count in labels.items()) / sum(labels.values())


def _f1(pairs: Mapping[Pair, int]) -> float:
    return next((value for name, value in _f1_of(pairs).items() if name in _POSITIVE), 0.0)


def _mean_of(error: Callable[[float], float]) -> Metric:
    def metric(pairs: Mapping[Pair, int]) -> float:
        errors = (error(_number(predicted) - _number(label)) * count for (label, predicted), count in pairs.items())
        return sum(errors) / sum(pairs.values())

    return metric


def _number(value: Hashable) -> float:
    return float(value) if isinstance(value, int | float | str) else float("nan")


_mse: Final = _mean_of(lambda error: error * error)


def _r2(pairs: Mapping[Pair, int]) -> float:
    rows = sum(pairs.values())
    mean = sum(_number(label) * count for (label, _), count in pairs.items()) / rows
    spread = sum((_number(label) - mean) ** 2 * count for (label, _), count in pairs.items()) / rows
    return 1 - _mse(pairs) / spread if spread else 0.0


METRICS: Final[Mapping[str, Metric]] = {
    "accuracy": _accuracy,
    "acc": _accuracy,
    "error_rate": lambda pairs: 1 - _accuracy(pairs),
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "macro_f1": _macro_f1,
    "f1_macro": _macro_f1,
    "weighted_f1": _weighted_f1,
    "f1_weighted": _weighted_f1,
    "micro_f1": _accuracy,
    "f1_micro": _accuracy,
    "mse": _mse,
    "rmse": lambda pairs: _mse(pairs) ** 0.5,
    "mae": _mean_of(abs),
    "r2": _r2,
}
