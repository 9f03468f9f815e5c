"""Searches as plain values, for tests of what shows them."""

from dataclasses import replace

from ml_intern.search.plan import SearchLimits, SearchPlan
from ml_intern.search.record import Conclusion, Contribution, Finalist, SearchRecord
from ml_intern.search.scores import score_of
from ml_intern.search.tree import Attempt, Score, SearchTree
from tests.search.trees import ACCURACY

PLAN = SearchPlan("/home/ada/churn", ACCURACY, "uv run eval.py --seed {seed}", "other features", holdout="holdout.csv")


def around(mean: float, first_seed: int = 0) -> Score:
    """Return a score of three evaluations."""
    return score_of([mean - 0.01, mean, mean + 0.01], range(first_seed, first_seed + 3))


def finished_search() -> SearchRecord:
    """Return a search with a winner of two changes, and with an attempt of each other ending."""
    rows = (
        Attempt(0, "baseline", "accepted", score=around(0.70)),
        Attempt(1, "improve", "discarded", (0,), "scale", score=around(0.701), why="within the noise", cost_usd=0.2),
        Attempt(2, "improve", "accepted", (0,), "add the <ratio> | of calls", score=around(0.75), cost_usd=0.3),
        Attempt(3, "improve", "crashed", (2,), "train longer", why="exit code 1: MemoryError", cost_usd=0.1),
        Attempt(4, "debug", "refused", (3,), "train in parts", why="changed eval.py, which is locked", cost_usd=0.1),
        Attempt(5, "improve", "accepted", (2,), "more trees", score=around(0.80), cost_usd=0.25, branch="improve/s1/5"),
        Attempt(6, "combine", "stopped", (5, 2), "", why="the time limit", cost_usd=0.05),
    )
    conclusion = Conclusion(
        5,
        "0.695 to 0.79: chance alone gives this with a probability of 1e-05; the limit is 0.025",
        (Finalist(5, around(0.79, 9)), Finalist(2, None, "exit code 1")),
        (Contribution(2, around(0.76)), Contribution(5, None, "it cannot be taken out alone")),
        holdout=score_of([0.78], [0]),
        holdout_baseline=score_of([0.69], [0]),
        diff="--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n-trees = 10\n+trees = 100\n",
        baseline=around(0.695, 9),
    )
    return SearchRecord(
        "s1", PLAN, SearchLimits(10.0, 28_800, 60, 3), SearchTree(ACCURACY, rows), "finished", 1_790_000_000.0,
        spent_usd=1.0, seconds=7_300, finished=1_790_007_300.0, planned=60, conclusion=conclusion,
    )  # fmt: skip


def running_search(attempts: int = 6) -> SearchRecord:
    """Return a search that has not ended, with this number of attempts beside the baseline."""
    done = finished_search()
    rows = [done.tree[0]]
    for number in range(1, attempts + 1):
        parent = number // 2
        rows.append(
            Attempt(number, "improve", "discarded", (parent,), f"idea {number}", score=around(0.7 + number / 1e4))
        )
    rows[-1] = replace(rows[-1], state="working", score=None)
    return replace(done, tree=SearchTree(ACCURACY, tuple(rows)), state="running", conclusion=None, finished=None)
