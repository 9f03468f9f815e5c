"""Two attempts are compared by their predictions for the same rows."""

from collections import Counter
from random import Random

import pytest

from ml_intern.search.judgement import Judgement
from ml_intern.search.plan import Objective
from ml_intern.search.predictions import Pair, judge_predictions, metric_named
from ml_intern.search.readings import NoMetric, read_metric

F1 = Objective("val_macro_f1", maximize=True)
LABELS = Random(1).choices("abc", k=400)


def predicted(right: float, random: Random) -> list[Pair]:
    return [(label, label if random.random() < right else random.choice("abc")) for label in LABELS]


def judged(candidate: list[Pair], parent: list[Pair]) -> Judgement:
    return judge_predictions(candidate, parent, 60, 0.05, F1)


@pytest.mark.parametrize(
    ("name", "pairs", "value"),
    [
        ("macro_f1", "aa ab bb bb ca", (2 / 4 + 4 / 5 + 0) / 3),
        ("weighted_f1", "aa ab bb bb ca", (2 / 4 * 2 + 4 / 5 * 2) / 5),
        ("balanced-accuracy", "aa ab bb bb ca", (1 / 2 + 1 + 0) / 3),
        ("f1_score", "11 10 01 00 11", 4 / 6),
        ("error_rate", "aa ab bb", 1 / 3),
        ("rmse", "11 13 20", (8 / 3) ** 0.5),
        ("mae", "11 13 20", 4 / 3),
        ("r2", "11 13 20", 1 - (8 / 3) / (2 / 9)),
    ],
)
def test_metrics_are_those_of_scikit_learn(name: str, pairs: str, value: float) -> None:
    metric = metric_named(name)
    assert metric is not None
    assert metric(Counter((one[0], one[1]) for one in pairs.split())) == pytest.approx(value)


def test_a_true_gain_of_macro_f1_is_accepted_and_noise_is_not() -> None:
    random = Random(2)
    parent = predicted(0.6, random)
    fixed = [(label, label) if random.random() < 0.3 else (label, before) for label, before in parent]
    assert judged(fixed, parent).better
    noise = [judged(predicted(0.6, random), parent) for _ in range(60)]
    assert not any(one.better for one in noise)
    assert any("the limit is 0.00083" in one.reason for one in noise)
    assert judged(fixed, parent) == judged(fixed, parent), "the samples are the same each time"


def test_other_rows_are_not_compared() -> None:
    assert "do not have the same labels" in judged([("a", "a")] * 400, predicted(0.6, Random(3))).reason


def test_predictions_are_read_and_must_agree_with_the_metric() -> None:
    reading = read_metric('macro_f1 0.67\npredictions [["a", "a"], ["b", "a"], ["b", "b"]]', "macro_f1")
    assert (reading.predictions, reading.rows) == ((("a", "a"), ("b", "a"), ("b", "b")), 3)
    assert read_metric("bleu 0.3\npredictions [[1, 2]]", "bleu").predictions == ()
    with pytest.raises(NoMetric, match=r"printed accuracy 0.9, but its predictions give 0.5"):
        read_metric("accuracy 0.9\npredictions [[1, 1], [1, 0]]", "accuracy")
    with pytest.raises(NoMetric, match="not a list"):
        read_metric("accuracy 0.9\npredictions [1, 2]", "accuracy")
