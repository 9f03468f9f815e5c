"""Greedy: each attempt improves the best one, and stays or is dropped."""

from dataclasses import dataclass
from random import Random

from ml_intern.search.policies.crashes import next_debug
from ml_intern.search.policies.pairs import untried_near_miss, untried_pairs
from ml_intern.search.policies.policy import NextAttempt
from ml_intern.search.tree import SearchTree


@dataclass(frozen=True)
class Greedy:
    """Improve the best attempt. A crash is repaired once. What was accepted beside the best is combined with it.

    A near miss from before the best is combined with it, too, once: the gain may be larger now, and git merges the
    changes without the model.
    """

    max_debugs: int = 1

    def next_attempt(self, tree: SearchTree, random: Random) -> NextAttempt | None:  # noqa: ARG002 - no choice by chance
        """Return the next attempt; None without an attempt to start from."""
        best = tree.best
        if best is None:
            return None
        if (crashed := next_debug(tree, self.max_debugs)) is not None:
            return NextAttempt("debug", (crashed.number,))
        for pair in untried_pairs(tree, tree.accepted):
            if best.number in pair:
                return NextAttempt("combine", pair)
        if (near := untried_near_miss(tree, best)) is not None:
            return NextAttempt("combine", (best.number, near.number))
        return NextAttempt("improve", (best.number,))
