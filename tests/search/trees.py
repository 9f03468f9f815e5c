"""Trees of a search for tests, and a scripted task whose best combination of ideas is known."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from ml_intern.search.judgement import joined, judge_look, screen
from ml_intern.search.noise import Noise
from ml_intern.search.plan import Objective
from ml_intern.search.policies.policy import NextAttempt, SearchPolicy
from ml_intern.search.scores import score_of
from ml_intern.search.tree import Attempt, Score, SearchTree, State

ACCURACY = Objective("accuracy", maximize=True)
FIRST_EVALUATIONS = 3
"""Evaluations of an attempt before it is screened, as a search has by default."""
BASELINE_EVALUATIONS = 6


@dataclass(frozen=True)
class PlantedTask:
    """A task whose metric is known for each set of ideas."""

    value: Callable[[frozenset[str]], float]
    ideas: tuple[str, ...]
    """What `improve` can try, in the order in which the proposer thinks of it."""
    drafts: tuple[str, ...] = ()
    crash: frozenset[str] = frozenset()
    """Ideas that crash until a repair."""
    deviation: float = 0.002

    @property
    def best(self) -> frozenset[str]:
        """Return the ideas that help, in an approach that allows the most."""
        sets = [frozenset([*start, *self.ideas]) for start in [(), *((draft,) for draft in self.drafts)]]
        return max((_pruned(one, self.value) for one in sets), key=self.value)


def _pruned(ideas: frozenset[str], value: Callable[[frozenset[str]], float]) -> frozenset[str]:
    return frozenset(one for one in ideas if value(ideas) > value(ideas - {one}))


@dataclass
class PlantedSearch:
    """A search of a planted task, one attempt after the other."""

    task: PlantedTask
    policy: SearchPolicy
    random: Random
    planned: int = 60
    tree: SearchTree = field(init=False)
    content: dict[int, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.noise = Noise(self.task.deviation, 10)
        self.content = {0: frozenset()}
        first = self.evaluated(frozenset(), BASELINE_EVALUATIONS)
        self.tree = SearchTree(ACCURACY, (Attempt(0, "baseline", "accepted", score=first),))

    def evaluated(self, ideas: frozenset[str], count: int, fresh: int | None = None) -> Score:
        """Return a noisy score of a set of ideas. `fresh` is the number of fresh evaluations before, None for first."""
        start = fresh or 0
        values = [self.random.gauss(self.task.value(ideas), self.task.deviation) for _ in range(count)]
        return score_of(values, range(start, start + count))

    def step(self) -> Attempt | None:
        """Run the next attempt. None if nothing is left to try."""
        chosen = self.policy.next_attempt(self.tree, self.random)
        if chosen is None:
            return None
        ideas = self.proposed(chosen)
        attempt = Attempt(len(self.tree.attempts), chosen.kind, "working", chosen.parents)
        self.content[attempt.number] = ideas
        before = self.tree.attempts
        self.tree = replace(self.tree, attempts=(*before, attempt))
        done = self.ended(attempt, ideas)
        self.tree = replace(self.tree, attempts=(*before, done))
        return done

    def proposed(self, chosen: NextAttempt) -> frozenset[str]:
        """Return the ideas that the attempt has. The new one is that which its line tried least."""
        have = frozenset[str]().union(*(self.content[number] for number in chosen.parents))
        if chosen.kind in ("debug", "combine"):
            return have | {"repair"} if chosen.kind == "debug" else have
        tried = Counter(
            idea
            for one in self.tree.line(chosen.parents[0])
            for child in self.tree.children(one.number)
            for idea in self.content[child.number] - self.content[one.number]
        )
        offered = [one for one in (self.task.drafts if chosen.kind == "draft" else self.task.ideas) if one not in have]
        return have | {min(offered, key=lambda one: tried[one]) if offered else f"again {len(self.tree.attempts)}"}

    def ended(self, attempt: Attempt, ideas: frozenset[str]) -> Attempt:
        """Return the attempt with its score and its state."""
        if ideas & self.task.crash and "repair" not in ideas:
            return replace(attempt, state="crashed")
        first = self.evaluated(ideas, FIRST_EVALUATIONS)
        parent = self.tree.compared_with(attempt.number)
        assert parent is not None
        assert parent.score is not None
        rules = (self.noise, self.planned, 0.05, ACCURACY)
        screened = screen(first, parent.score, *rules)
        if not screened.promising:
            return replace(attempt, state="discarded", score=first, why=screened.reason)
        fresh = self.evaluated(ideas, screened.evaluations, 0)
        other = self.evaluated(self.content[parent.number], screened.evaluations, 0)
        judged, more = judge_look(fresh, other, *rules)
        if more:
            start = len(fresh.values)
            fresh = joined(fresh, self.evaluated(ideas, more, start))
            other = joined(other, self.evaluated(self.content[parent.number], more, start))
            judged, _ = judge_look(fresh, other, *rules)
        state: State = "accepted" if judged.better else "discarded"
        return replace(attempt, state=state, score=fresh, why=judged.reason, near=judged.near)

    def attempts_until_best(self, limit: int) -> int | None:
        """Return the attempts until one has the best combination and is accepted; None if `limit` were not enough."""
        for count in range(1, limit + 1):
            done = self.step()
            if done is None:
                return None
            if done.state == "accepted" and self.task.value(self.content[done.number]) >= self.task.value(
                self.task.best
            ):
                return count
        return None


def additive(effects: Mapping[str, float], base: float = 0.7) -> Callable[[frozenset[str]], float]:
    """Return a metric to which each idea adds its effect."""
    return lambda ideas: base + sum(effects.get(one, 0.0) for one in ideas)


def tree_of(states: Iterable[tuple[str, State, tuple[int, ...], float | None]]) -> SearchTree:
    """Return a tree from rows of kind, state, parents and mean."""
    baseline = Attempt(0, "baseline", "accepted", score=score_of([0.7, 0.7], [0, 1]))
    rows = [
        Attempt(number, kind, state, parents, score=None if mean is None else score_of([mean, mean], [0, 1]))  # type: ignore[arg-type]
        for number, (kind, state, parents, mean) in enumerate(states, start=1)
    ]
    return SearchTree(ACCURACY, (baseline, *rows))
