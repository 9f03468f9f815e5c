"""Searches on six small real tasks with planted ideas: five of scikit-learn and one of torch, without a network.

    python -m bench.search_tasks --python PYTHON [--searches 8] [--first 0] [--write]

PYTHON is an interpreter with scikit-learn and torch. Each evaluation trains on two splits, which depend on the
seed. No language model: the policies and the judgement are called as a search calls them. `--write` writes the
figures to bench/search_tasks.json.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final

from ml_intern.search.noise import Noise
from ml_intern.search.plan import PolicyName
from ml_intern.search.policies.table import POLICIES
from ml_intern.search.scores import score_of
from ml_intern.search.tree import Attempt, Score
from tests.search.trees import PlantedSearch, PlantedTask

RESULTS: Final = Path(__file__).with_name("search_tasks.json")
MAX_ATTEMPTS: Final = 60
CHILD: Final = """
import json, sys
import numpy as np
from sklearn import datasets
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

def split(data, seed, columns=None):
    x, y = data.data, data.target
    x = x if columns is None else x[:, columns]
    return train_test_split(x, y, test_size=0.4, random_state=seed)

def scored(model, parts, metric=accuracy_score):
    train, test, labels, known = parts
    return metric(known, model.fit(train, labels).predict(test))

def digits(has, seed):
    columns = slice(0, 64 if "all columns" in has else 32)
    depth = None if "deeper" in has else 3
    if "worse" in has:
        depth = 1
    return scored(DecisionTreeClassifier(max_depth=depth, random_state=0), split(datasets.load_digits(), seed, columns))

def cancer(has, seed):
    model = KNeighborsClassifier(60 if "worse" in has else 5)
    model = make_pipeline(StandardScaler(), model) if "scaled" in has else model
    columns = slice(0, 30 if "all columns" in has else 4)
    macro = lambda known, found: f1_score(known, found, average="macro")
    return scored(model, split(datasets.load_breast_cancer(), seed, columns), macro)

def wine(has, seed):
    columns = [2, 3] + ([0] if "alcohol" in has else []) + ([6] if "flavanoids" in has else [])
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(60 if "worse" in has else 5))
    return scored(model, split(datasets.load_wine(), seed, columns))

def diabetes(has, seed):
    columns = [0, 1, 4, 5] + ([2] if "body mass" in has else []) + ([8] if "serum" in has else [])
    return scored(Ridge(100.0 if "worse" in has else 0.1), split(datasets.load_diabetes(), seed, columns), r2_score)

def iris(has, seed):
    columns = [0, 1] + ([2, 3] if "petals" in has else [])
    model = DecisionTreeClassifier(max_depth=1 if "worse" in has else (None if "deeper" in has else 1), random_state=0)
    return scored(model, split(datasets.load_iris(), seed, columns))

def moons(has, seed):
    import torch
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    x, y = datasets.make_moons(400, noise=0.2, random_state=seed)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    width = 32 if "hidden layer" in has else 0
    hidden = [torch.nn.Linear(2, width), torch.nn.ReLU()] if width else []
    layers = [*hidden, torch.nn.Linear(width or 2, 2)]
    model = torch.nn.Sequential(*layers)
    rate = 1e-6 if "worse" in has else (0.05 if "larger steps" in has else 0.005)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[:240]), y[:240]).backward()
        optimizer.step()
    return float((model(x[240:]).argmax(1) == y[240:]).float().mean())

TASKS = dict(digits=digits, cancer=cancer, wine=wine, diabetes=diabetes, iris=iris, moons=moons)
for line in sys.stdin:
    task, ideas, seed = json.loads(line)
    shift = 500_000 if "lucky seed" in ideas else 0
    values = [TASKS[task](set(ideas), 2 * seed + part + shift) for part in range(2)]
    print(float(np.mean(values)), flush=True)
"""
HELPFUL: Final[Mapping[str, tuple[str, ...]]] = {
    "digits": ("deeper", "all columns"),
    "cancer": ("scaled", "all columns"),
    "wine": ("alcohol", "flavanoids"),
    "diabetes": ("body mass", "serum"),
    "iris": ("petals", "deeper"),
    "moons": ("hidden layer", "larger steps"),
}
OTHERS: Final = ("no effect", "worse", "lucky seed", "crash")
"""No difference, worse, noise that may look better, and a change that crashes until it is repaired."""


class RealEvaluator:
    """Trains and evaluates in a process of its own. Each model is evaluated once for a seed."""

    def __init__(self, python: str) -> None:
        self._child = subprocess.Popen([python, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.value = cache(self._value)

    def _value(self, task: str, ideas: frozenset[str], seed: int) -> float:
        if self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("the evaluator has no pipes")
        self._child.stdin.write(json.dumps([task, sorted(ideas), seed]) + "\n")
        self._child.stdin.flush()
        return float(self._child.stdout.readline())


@dataclass
class RealSearch(PlantedSearch):
    """A search whose evaluations are real. The seeds of first and fresh evaluations differ, as in a search."""

    name: str = ""
    evaluator: RealEvaluator = field(kw_only=True)
    first_seed: int = 1

    def evaluated(self, ideas: frozenset[str], count: int, fresh: int | None = None) -> Score:
        """Train and evaluate with each seed."""
        first = self.first_seed + (0 if fresh is None else 1_000 + 100 * len(self.content) + fresh)
        known = ideas & {*HELPFUL[self.name], *OTHERS}
        seeds = range(first, first + count)
        return score_of([self.evaluator.value(self.name, known, seed) for seed in seeds], seeds)

    def ended(self, attempt: Attempt, ideas: frozenset[str]) -> Attempt:
        """Measure the noise over all attempts, then judge this one."""
        self.noise = Noise.of(one.score for one in self.tree.attempts if one.score)
        return super().ended(attempt, ideas)

    def false_improvements(self) -> int:
        """Return how many accepted attempts added no idea that helps."""
        helpful = {*HELPFUL[self.name]}
        accepted = [one for one in self.tree.accepted if one.number]
        return sum(
            not (self.content[one.number] - self.content[one.parents[0]]) & helpful for one in accepted if one.parents
        )


def planted(name: str, order: Random) -> PlantedTask:
    """Return a task with its ideas in a random order. Its value counts the ideas that help: the fewest attempts are
    those of a search that accepts each of them when it is tried."""
    ideas = [*HELPFUL[name], *OTHERS]
    order.shuffle(ideas)
    helpful = frozenset(HELPFUL[name])
    return PlantedTask(lambda have: len(have & helpful) - ("worse" in have), tuple(ideas), crash=frozenset({"crash"}))


def figures_of(name: str, policy: PolicyName, seeds: Sequence[int], evaluator: RealEvaluator) -> Mapping[str, Any]:
    """Return how often and after how many attempts the best combination is found, and false improvements."""
    counts, fewest, false = [], [], 0
    for seed in seeds:
        task = planted(name, Random(seed))
        exact = PlantedSearch(replace(task, deviation=1e-9), POLICIES["greedy"], Random(seed))
        fewest.append(exact.attempts_until_best(MAX_ATTEMPTS) or MAX_ATTEMPTS)
        search = RealSearch(
            task, POLICIES[policy], Random(seed), name=name, evaluator=evaluator, first_seed=1 + 10_000 * seed
        )
        counts.append(search.attempts_until_best(MAX_ATTEMPTS))
        false += search.false_improvements()
    found = [count for count in counts if count]
    return {
        "found": f"{len(found)} of {len(seeds)}",
        "within 1.5 times the fewest": sum((one or inf) <= 1.5 * few for one, few in zip(counts, fewest, strict=True)),
        "attempts": counts,
        "fewest": fewest,
        "false improvements": false,
    }


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with scikit-learn and torch")
    parser.add_argument("--searches", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first search")
    parser.add_argument("--write", action="store_true", help=f"write the figures to {RESULTS.name}")
    given = parser.parse_args()
    evaluator = RealEvaluator(given.python)
    seeds = range(given.first, given.first + given.searches)
    figures = {name: {policy: figures_of(name, policy, seeds, evaluator) for policy in POLICIES} for name in HELPFUL}
    text = json.dumps(figures, indent=2)
    print(text)
    if given.write:
        RESULTS.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
