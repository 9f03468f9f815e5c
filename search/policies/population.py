"""Population: several lines, each from a draft of its own, are improved in turn and combined."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from ml_intern.search.policies.branching import starting_points
from ml_intern.search.policies.crashes import next_debug
from ml_intern.search.policies.pairs import untried_pairs
from ml_intern.search.policies.policy import NextAttempt
from ml_intern.search.tree import Attempt, SearchTree


@dataclass(frozen=True)
class Population:
    """Improve the best attempt of the line that was tried least. Now and then two lines are combined."""

    lines: int = 3
    max_debugs: int = 2
    combine_share: float = 0.25

    def next_attempt(self, tree: SearchTree, random: Random) -> NextAttempt | None:
        """Return the next attempt; None without an attempt to start from."""
        if not starting_points(tree):
            return None
        if (crashed := next_debug(tree, self.max_debugs)) is not None:
            return NextAttempt("debug", (crashed.number,))
        if sum(one.kind == "draft" for one in tree.attempts) < self.lines:
            return NextAttempt("draft", (tree.baseline.number,))
        best = self._best_of_lines(tree)
        pairs = list(untried_pairs(tree, list(best.values())))
        if pairs and random.random() < self.combine_share:
            return NextAttempt("combine", random.choice(pairs))
        tried = {line: sum(tree.approach(one.number) == line for one in tree.attempts) for line in best}
        line = min(best, key=lambda number: (tried[number], random.random()))
        return NextAttempt("improve", (best[line].number,))

    def _best_of_lines(self, tree: SearchTree) -> Mapping[int, Attempt]:
        """Return the best attempt of each line by the line's first attempt; the baseline's line is one, too."""
        lines: dict[int, list[Attempt]] = {}
        for one in starting_points(tree):
            lines.setdefault(tree.approach(one.number), []).append(one)
        return {number: best for number, line in lines.items() if (best := tree.best_of(line))}
