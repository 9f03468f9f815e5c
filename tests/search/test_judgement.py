"""Better means better: noise is refused at the level of the whole search, true gains pass."""

import math
from dataclasses import replace
from random import Random

import pytest

from ml_intern.search.judgement import Judgement, choose_winner, joined, judge, judge_look, judge_rows, screen
from ml_intern.search.noise import Noise, baseline_evaluations
from ml_intern.search.plan import Objective, SearchPlan
from ml_intern.search.scores import score_of
from ml_intern.search.student import quantile, upper_tail
from ml_intern.search.tree import Score
from tests.search.trees import ACCURACY

LOSS = Objective("loss", maximize=False)
NOISE = Noise(0.01, 5)
SAME = Noise(0.0, 3)


def repeated(mean: float, count: int, random: Random, sd: float = 0.01) -> Score:
    return score_of([random.gauss(mean, sd) for _ in range(count)], range(count))


def same(value: float) -> Score:
    return score_of([value] * 3, range(3))


@pytest.mark.parametrize(
    ("t", "degrees", "tail"),
    [(0.0, 3, 0.5), (2.353, 3, 0.05), (1.812, 10, 0.05), (3.169, 10, 0.005), (12.706, 1, 0.025), (3.29, 1e6, 0.0005)],
)
def test_the_tails_of_student_are_those_of_the_printed_tables(t: float, degrees: float, tail: float) -> None:
    assert upper_tail(t, degrees) == pytest.approx(tail, rel=2e-3)
    assert upper_tail(-t, degrees) == pytest.approx(1 - tail, rel=2e-3)
    if tail < 0.5:
        assert quantile(tail, degrees) == pytest.approx(t, rel=1e-3)


def is_called_better(gain: float, planned: int, random: Random) -> bool:
    """Judge an idea with this true gain as a search does."""
    rules = (NOISE, planned, 0.05, ACCURACY)
    first, parent = repeated(0.7 + gain, 3, random), repeated(0.7, 5, random)
    count = screen(first, parent, *rules).evaluations
    if not count:
        return False
    fresh, other = repeated(0.7 + gain, count, random), repeated(0.7, count, random)
    judgement, more = judge_look(fresh, other, *rules)
    if more:
        fresh, other = joined(fresh, repeated(0.7 + gain, more, random)), joined(other, repeated(0.7, more, random))
        judgement, _ = judge_look(fresh, other, *rules)
    return judgement.better


def test_of_500_ideas_without_difference_no_more_are_called_better_than_the_level_allows() -> None:
    random = Random(1)
    better = sum(is_called_better(0.0, 10, random) for _ in range(500))
    assert better <= 2, "500 at 0.05 / 10, of which the first stage passes a part, give 0.5 on average"


@pytest.mark.parametrize(("deviations", "least"), [(2, 35), (4, 45)])
def test_a_gain_beyond_the_noise_is_confirmed(deviations: int, least: int) -> None:
    random = Random(2)
    assert sum(is_called_better(0.01 * deviations, 60, random) for _ in range(50)) >= least


def test_a_second_look_follows_a_near_miss_only_and_adds_seeds() -> None:
    parent = score_of([0.70, 0.71, 0.69, 0.70, 0.71, 0.69], range(6))
    looks = [
        judge_look(score_of([mean] * 6, range(6)), parent, NOISE, 60, 0.05, ACCURACY) for mean in (0.69, 0.71, 0.8)
    ]
    assert [(one.better, one.near, more) for one, more in looks] == [
        (False, False, 0),
        (False, True, 18),
        (True, False, 0),
    ]
    both = joined(parent, score_of([0.75, 0.76], (6, 7)))
    assert (both.values[-2:], both.seeds, both.low < both.mean < both.high) == ((0.75, 0.76), tuple(range(8)), True)


def test_the_noise_that_attempts_share_is_measured_with_their_most_common_seeds() -> None:
    seeds = [Random(seed).gauss(0, 0.01) for seed in range(3)]
    scores = [score_of([0.7 + 0.01 * one + seed for seed in seeds], range(3)) for one in range(4)]
    assert Noise.of([score_of([0.7, 0.71], (8, 9)), *scores]).shared > 0.9


def test_a_smaller_gain_needs_more_fresh_seeds() -> None:
    parent, spread = score_of([0.69, 0.70, 0.71], range(3)), (-0.01, 0.0, 0.01)
    counts = [
        screen(score_of([0.7 + gain + one for one in spread], range(3)), parent, NOISE, 60, 0.05, ACCURACY).evaluations
        for gain in (0.1, 0.03, 0.015)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] == 12


def test_an_attempt_is_compared_on_its_own_seeds_where_the_seed_makes_the_noise() -> None:
    seeds = [0.1, 0.5, 0.3, 0.9, 0.9, 0.9]
    parent = score_of(seeds, range(6))
    candidate = score_of([one + 0.05 for one in seeds[:3]], range(3))
    noise = Noise(0.3, 5, shared=0.999)
    assert screen(candidate, parent, noise, 60, 0.05, ACCURACY).promising
    assert not screen(candidate, parent, Noise(0.3, 5), 60, 0.05, ACCURACY).promising


def test_the_baseline_gets_more_evaluations_than_an_attempt_only_where_a_seed_changes_them() -> None:
    plan = SearchPlan("/folder", ACCURACY, "python eval.py {seed}", evaluations=3)
    assert baseline_evaluations(plan) == 6
    assert baseline_evaluations(replace(plan, evaluator="python eval.py")) == 3
    assert baseline_evaluations(replace(plan, evaluator="python eval.py", evaluations=1)) == 2


def test_a_lower_loss_is_better_and_a_higher_one_is_not() -> None:
    high, low = (score_of([mean + one for one in (-0.01, 0.0, 0.01, 0.02)], range(4)) for mean in (0.9, 0.5))
    assert judge(low, high, NOISE, 10, 0.05, LOSS).better
    worse = judge(high, low, NOISE, 10, 0.05, LOSS)
    assert not worse.better
    assert worse.reason == "worse: 0.505 to 0.905"


def test_common_variance_of_the_seeds_is_removed_by_pairs() -> None:
    seeds = [0.60, 0.80, 0.70, 0.55, 0.85, 0.65]
    parent = score_of(seeds, range(6))
    candidate = score_of([one + 0.02 + (0.001 if at % 2 else -0.001) for at, one in enumerate(seeds)], range(6))
    assert not judge(candidate, parent, Noise(0.12, 5), 60, 0.05, ACCURACY).better
    assert judge(candidate, parent, Noise(0.12, 5, shared=0.9999), 60, 0.05, ACCURACY).better
    constant = score_of([one + 0.02 for one in seeds], range(6))
    assert judge(constant, parent, Noise(0.12, 5, shared=1.0), 60, 0.05, ACCURACY).better


def test_the_common_variance_is_measured() -> None:
    seeds = [0.60, 0.80, 0.70]
    alike = [score_of([one + shift for one in seeds], range(3)) for shift in (0.0, 0.01, 0.05)]
    random = Random(3)
    apart = [repeated(0.7, 3, random) for _ in range(40)]
    assert Noise.of(alike).shared == pytest.approx(1.0)
    assert Noise.of(apart).shared < 0.3
    assert Noise.of(apart[:2]).shared == 0.0


def test_the_noise_is_measured_over_all_attempts() -> None:
    random = Random(5)
    noise = Noise.of([*(repeated(mean, 3, random) for mean in (0.1, 0.5, 0.9) * 30), score_of([0.2], [0])], rows=9)
    assert noise.sd == pytest.approx(0.01, rel=0.15)
    assert (noise.degrees, noise.rows) == (180, 9)
    assert Noise.of([score_of([0.2], [0])]) == Noise(0.0, 0)


def test_one_evaluation_is_not_compared_with_noise() -> None:
    judged = judge(score_of([0.9], [7]), score_of([0.7], [7]), NOISE, 10, 0.05, ACCURACY)
    assert not judged.better
    assert "one evaluation" in judged.reason


def test_equal_values_of_a_noisy_evaluator_are_not_exact() -> None:
    assert not judge(score_of([0.71] * 4, range(4)), score_of([0.70] * 4, range(4)), NOISE, 10, 0.05, ACCURACY).better


def test_an_exact_evaluator_is_judged_by_its_rows() -> None:
    few, many = Noise(0.0, 3, rows=100), Noise(0.0, 3, rows=100_000)
    judged = judge(same(0.82), same(0.80), few, 10, 0.05, ACCURACY)
    assert not judged.better
    assert judged.reason == "0.8 to 0.82 on 100 rows: chance reaches 0.143"
    assert judge(same(0.82), same(0.80), many, 10, 0.05, ACCURACY).better


def test_an_exact_evaluator_without_rows_needs_a_gain_of_one_percent() -> None:
    judged = judge(same(0.82), same(0.80), SAME, 10, 0.05, ACCURACY)
    assert judged.better
    assert judged.reason == "0.8 to 0.82, not tested against noise: a gain counts from 0.002 on"
    assert not judge(same(0.801), same(0.80), SAME, 10, 0.05, ACCURACY).better
    assert not judge(same(99.5), same(100.0), SAME, 10, 0.05, LOSS).better
    assert judge(same(3.0), same(3.5), Noise(0.0, 3, rows=100), 10, 0.05, LOSS).better, (
        "a loss has no interval from rows"
    )
    assert not judge(same(0.80), same(0.80), SAME, 10, 0.05, ACCURACY).better


def test_rows_are_compared_in_pairs() -> None:
    random = Random(4)
    base = [random.random() < 0.8 for _ in range(2000)]
    fixed = [one or random.random() < 0.2 for one in base]
    other = [one if random.random() > 0.2 else not one for one in base]
    other = [a if random.random() < 0.5 else b for a, b in zip(base, other, strict=True)]
    rows = tuple(map(float, base))
    assert judge_rows(tuple(map(float, fixed)), rows, 60, 0.05, ACCURACY).better
    assert not judge_rows(tuple(map(float, other)), rows, 60, 0.05, ACCURACY).better
    assert "2000 and 3 rows" in judge_rows((1.0, 0.0, 1.0), rows, 60, 0.05, ACCURACY).reason


def test_the_winner_is_the_best_rerun_that_beats_the_baseline() -> None:
    baseline, good, lucky = (
        score_of([mean + one for one in (-0.01, 0, 0.01, 0)], range(4)) for mean in (0.7, 0.8, 0.701)
    )

    def judged(one: Score, other: Score) -> Judgement:
        return judge(one, other, NOISE, 2, 0.05, ACCURACY)

    number, found = choose_winner({3: lucky, 7: good}, baseline, ACCURACY, judged)
    assert (number, found.better) == (7, True)
    assert choose_winner({3: lucky}, baseline, ACCURACY, judged)[0] is None
    assert choose_winner({}, baseline, ACCURACY, judged)[0] is None


def test_an_interval_comes_from_the_spread_or_from_the_rows() -> None:
    spread = score_of([0.6, 0.7, 0.8], range(3))
    assert spread.high - spread.mean == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)
    by_rows = score_of([0.8], [0], rows=100)
    assert by_rows.high - by_rows.low == pytest.approx(2 * 1.96 * 0.04, rel=1e-3)
    assert score_of([0.8], [0]).low == 0.8
