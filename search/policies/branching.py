"""Tree: several approaches are tried, and the attempt to improve is chosen by its value and by how little it was tried.

The order of steps (drafts, repairs, improvements) is AIDE's (https://arxiv.org/abs/2502.13138); the value of an
attempt is its rank among the others plus a bonus that falls with the attempts that start from it (PUCT).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ml_intern.search.policies.crashes import next_debug
from ml_intern.search.policies.pairs import untried_pairs
from ml_intern.search.policies.policy import NextAttempt
from ml_intern.search.tree import Attempt, SearchTree


@dataclass(frozen=True)
class Branching:
    """Draft some approaches first, then debug, combine, or improve the attempt of the highest value."""

    drafts: int = 3
    max_debugs: int = 3
    debug_share: float = 0.5
    """The probability that a crash is repaired before the next improvement."""
    combine_share: float = 0.15
    exploration: float = 0.5

    def next_attempt(self, tree: SearchTree, random: Random) -> NextAttempt | None:
        """Return the next attempt; None without an attempt to start from."""
        starts = starting_points(tree)
        if not starts:
            return None
        if sum(one.kind == "draft" for one in tree.attempts) < self.drafts:
            return NextAttempt("draft", (tree.baseline.number,))
        crashed = next_debug(tree, self.max_debugs)
        if crashed is not None and random.random() < self.debug_share:
            return NextAttempt("debug", (crashed.number,))
        pairs = list(untried_pairs(tree, [one for one in tree.accepted if one.number]))
        if pairs and random.random() < self.combine_share:
            return NextAttempt("combine", random.choice(pairs))
        return NextAttempt("improve", (self._most_valuable(tree, starts, random).number,))

    def _most_valuable(self, tree: SearchTree, starts: Sequence[Attempt], random: Random) -> Attempt:
        """Return the attempt with the highest sum of rank and exploration; chance decides between equal ones."""
        tried = {one.number: len(tree.children(one.number)) for one in starts}
        total = math.sqrt(sum(tried.values()))
        ranks = _ranks(tree, starts)

        def value(one: Attempt) -> tuple[float, float]:
            bonus = self.exploration * total / (1 + tried[one.number])
            return ranks[one.number] + bonus, random.random()

        return max(starts, key=value)


def starting_points(tree: SearchTree) -> Sequence[Attempt]:
    """Return the accepted attempts and the drafts with a score: a draft that is not better is still another approach,
    while a change that is not better is dropped.
    """
    return [
        one
        for one in tree.attempts
        if one.score is not None
        and (one.state == "accepted" or (one.state == "discarded" and tree.approach(one.number) == one.number))
    ]


def _ranks(tree: SearchTree, starts: Sequence[Attempt]) -> dict[int, float]:
    """Return the rank of each attempt by its metric, from 0 for the worst to 1 for the best."""
    worst_first = sorted(starts, key=lambda one: tree.objective.gain(one.score.mean, 0.0) if one.score else 0.0)
    return {one.number: rank / max(len(starts) - 1, 1) for rank, one in enumerate(worst_first)}
