"""The tree of a search as rows of text: each attempt below the one that it starts from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ml_intern.search.tree import Attempt, Score, SearchTree
from ml_intern.text.formatting import money

MAX_DEPTH: Final = 12
"""Deeper attempts are drawn at this depth."""
STATE_WORDS: Final[Mapping[str, str]] = {
    "waiting": "waiting",
    "working": "working",
    "evaluating": "evaluating",
    "accepted": "better",
    "discarded": "not better",
    "crashed": "crashed",
    "refused": "refused",
    "stopped": "stopped",
}
"""The words for the states of an attempt."""


@dataclass(frozen=True)
class AttemptRow:
    """One attempt as text."""

    attempt: Attempt
    lines: str
    """The lines of the tree before its number."""
    best: bool

    @property
    def name(self) -> str:
        """Return its number with the lines of the tree, and the other parent of a combination."""
        others = "".join(f" + {number}" for number in self.attempt.parents[1:])
        return f"{self.lines}{self.attempt.number} {self.attempt.kind}{others}"

    @property
    def state(self) -> str:
        """Return its state in words. The best one has a star."""
        word = "measured" if self.attempt.kind == "baseline" else STATE_WORDS[self.attempt.state]
        return f"{word} *" if self.best else word

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Return name, metric, state, cost and idea."""
        one = self.attempt
        return (self.name, metric_text(one.score), self.state, money(one.cost_usd), one.idea)


def attempt_rows(tree: SearchTree) -> Sequence[AttemptRow]:
    """Return the rows of all attempts, each below its first parent."""
    below: dict[int, list[Attempt]] = {}
    for one in tree.attempts:
        if one.parents:
            below.setdefault(one.parents[0], []).append(one)
    best = tree.best
    roots = [one for one in tree.attempts if not one.parents]
    return [AttemptRow(one, lines, one is best) for root in roots for one, lines in _drawn(root, below)]


def _drawn(root: Attempt, below: Mapping[int, Sequence[Attempt]]) -> Iterator[tuple[Attempt, str]]:
    """Yield an attempt and those below it with the lines before them. Not recursive: a line of attempts may be long."""
    waiting = [(root, "", "")]
    while waiting:
        one, lines, indent = waiting.pop()
        yield one, lines
        children = below.get(one.number, ())
        deep = len(indent) >= 2 * MAX_DEPTH
        for place, child in reversed(list(enumerate(children))):
            last = place == len(children) - 1
            mark, more = ("└ ", "  ") if last else ("├ ", "│ ")
            waiting.append((child, indent + mark, indent if deep else indent + more))


def metric_text(score: Score | None) -> str:
    """Return a score with its 95 % interval: 0.7312 [0.727, 0.735]; "" without a score."""
    if score is None:
        return ""
    interval = f" [{score.low:.4g}, {score.high:.4g}]" if score.high > score.low else ""
    return f"{score.mean:.4g}{interval}"


def progress(tree: SearchTree) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return the steps of the best metric so far, and the metric of each attempt, over the attempts' numbers."""
    dots = [(float(one.number), one.score.mean) for one in tree.attempts if one.score is not None]
    steps: list[tuple[float, float]] = []
    for one in tree.accepted:
        value = one.score.mean if one.score else 0.0
        if not steps or tree.objective.gain(value, steps[-1][1]) > 0:
            steps += [(float(one.number), steps[-1][1])] if steps else []
            steps.append((float(one.number), value))
    if steps:
        steps.append((float(max(len(tree.attempts) - 1, 1)), steps[-1][1]))
    return steps, dots
