"""A search in simulation: ideas that are only noise, gains of a known size, and planted ideas for each policy.

    python -m bench.search [--searches 100] [--write]

No model and no process: the judgement and the policies are called as a search calls them, with values that are drawn
from a known distribution. Figures are in bench/search.json.
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, Final

from ml_intern.search.judgement import MAX_LOOKED, joined, judge_look, screen
from ml_intern.search.noise import Noise
from ml_intern.search.plan import Objective
from ml_intern.search.policies.table import POLICIES
from ml_intern.search.scores import score_of
from ml_intern.search.tree import Score
from tests.search.trees import PlantedSearch, PlantedTask, additive

RESULTS: Final = Path(__file__).with_name("search.json")
IDEAS: Final = 200
LEVEL: Final = 0.05
SEEDS: Final = 20
MAX_ATTEMPTS: Final = 120
ACCURACY: Final = Objective("accuracy", maximize=True)
Draw = Callable[[Random, int, float], float]
"""The metric of one evaluation from a source of chance, the seed of the evaluation, and the true gain."""


def _seed_effect(seed: int) -> float:
    return Random(seed).gauss(0, 0.01)


EVALUATORS: Final[Mapping[str, Draw]] = {
    "normal noise": lambda chance, _, gain: chance.gauss(0.7 + gain, 0.01),
    "heavy tails": lambda chance, _, gain: (
        0.7 + gain + 0.006 * chance.gauss(0, 1) / math.sqrt(chance.gammavariate(1.5, 2) / 3)
    ),
    "accuracy of 50 rows": lambda chance, _, gain: sum(chance.random() < 0.7 + gain for _ in range(50)) / 50,
    "most noise is the seed's": lambda chance, seed, gain: 0.7 + gain + _seed_effect(seed) + chance.gauss(0, 0.002),
}


class SimulatedIdeas:
    """A search whose ideas all have the same true gain over the baseline."""

    def __init__(self, draw: Draw, gain: float, chance: Random) -> None:
        self.draw, self.gain, self.chance = draw, gain, chance
        self.scores: list[Score] = []
        self.evaluations = 0
        counts = ((0, 5), (1000, MAX_LOOKED))
        self.baseline = {first: self._score(0.0, range(first, first + count)) for first, count in counts}

    def _score(self, gain: float, seeds: Sequence[int]) -> Score:
        self.evaluations += len(seeds)
        return score_of([self.draw(self.chance, seed, gain) for seed in seeds], seeds)

    def tries(self) -> bool:
        """Run one idea as a search does, and return whether it is called better."""
        first, parent = self._score(self.gain, range(3)), self.baseline[0]
        self.scores.append(first)
        noise = Noise.of([parent, *self.scores[-100:]])
        parent = score_of(parent.values[:3], parent.seeds[:3])
        rules = (noise, IDEAS, LEVEL, ACCURACY)
        screened = screen(first, parent, *rules)
        if not screened.promising:
            return False
        known, count = self.baseline[1000], screened.evaluations
        fresh = self._score(self.gain, known.seeds[:count])
        judged, more = judge_look(fresh, score_of(known.values[:count], known.seeds[:count]), *rules)
        if not more:
            return judged.better
        both = joined(fresh, self._score(self.gain, known.seeds[count : count + more]))
        return judge_look(both, score_of(known.values[: len(both.values)], both.seeds), *rules)[0].better


def noise_figures(searches: int) -> Mapping[str, Any]:
    """Return, for each evaluator, in how many searches of 200 ideas without difference any was called better."""
    figures = {}
    for name, draw in EVALUATORS.items():
        better, evaluations = [], 0
        for seed in range(searches):
            simulated = SimulatedIdeas(draw, 0.0, Random(seed))
            better.append(sum(simulated.tries() for _ in range(IDEAS)))
            evaluations += simulated.evaluations
        figures[name] = {
            "searches": searches,
            "with a false improvement": sum(one > 0 for one in better),
            "false improvements": sum(better),
            "evaluations per idea": round(evaluations / searches / IDEAS, 2),
        }
    return figures


def gain_figures() -> Mapping[str, Any]:
    """Return, for normal noise, the share of true gains that are called better, by their size in deviations."""
    figures = {}
    for gain in (1.0, 1.5, 2.0, 3.0, 4.0):
        found = [SimulatedIdeas(EVALUATORS["normal noise"], 0.01 * gain, Random(seed)).tries() for seed in range(300)]
        figures[f"{gain:g} deviations"] = round(sum(found) / len(found), 2)
    return figures


def _interacting(ideas: frozenset[str]) -> float:
    both = {"wide", "regularised"} <= ideas
    return 0.7 + 0.02 * ("a" in ideas) + 0.01 * ("regularised" in ideas) + 0.04 * both - 0.01 * ("wide" in ideas)


def _second_approach(ideas: frozenset[str]) -> float:
    value = 0.7 + 0.01 * len(ideas & {"a", "b"}) - 0.01 * ("worse" in ideas)
    return value + ((0.08 if "c" in ideas else 0.0) - 0.01 if "approach" in ideas else 0.0)


TASKS: Final[Mapping[str, PlantedTask]] = {
    "three of six help": PlantedTask(
        additive({"a": 0.02, "b": 0.015, "worse": -0.02, "c": 0.01}), ("none", "a", "worse", "same", "b", "c")
    ),
    "one crashes first": PlantedTask(
        additive({"a": 0.02, "x": 0.02, "worse": -0.02}), ("none", "x", "a", "worse"), crash=frozenset({"x"})
    ),
    "only noise": PlantedTask(additive({"last": 0.02}), (*(f"none {number}" for number in range(12)), "last")),
    "one needs another": PlantedTask(_interacting, ("none", "a", "regularised", "wide", "same")),
    "another approach": PlantedTask(
        additive({"big": 0.05, "a": 0.02, "b": 0.01}), ("a", "none", "b", "same"), drafts=("poor", "big", "other")
    ),
    "an approach that is worse at first": PlantedTask(
        _second_approach, ("none", "a", "worse", "b", "c"), drafts=("poor", "approach")
    ),
}


def policy_figures() -> Mapping[str, Any]:
    """Return, for each task and policy, how often and after how many attempts the best combination is found.

    `fewest` is what the same proposer needs with greedy and an evaluator without noise, or None.
    """
    figures: dict[str, Any] = {}
    for name, task in TASKS.items():
        exact = replace(task, deviation=1e-9)
        row: dict[str, Any] = {"fewest": PlantedSearch(exact, POLICIES["greedy"], Random(0)).attempts_until_best(60)}
        for policy, chosen in POLICIES.items():
            found = [
                PlantedSearch(task, chosen, Random(seed)).attempts_until_best(MAX_ATTEMPTS) for seed in range(SEEDS)
            ]
            counts = [count for count in found if count]
            row[policy] = {"found": f"{len(counts)} of {SEEDS}", "attempts": median(counts) if counts else None}
        figures[name] = row
    return figures


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--write", action="store_true", help=f"write the figures to {RESULTS.name}")
    given = parser.parse_args()
    figures = {
        f"{IDEAS} ideas without difference, level {LEVEL:g}": noise_figures(given.searches),
        "share of true gains called better": gain_figures(),
        "planted ideas": policy_figures(),
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if given.write:
        RESULTS.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
