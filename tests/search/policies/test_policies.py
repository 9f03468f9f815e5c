"""The policies: where attempts start, that repairs are bounded, and that planted ideas are found."""

from dataclasses import replace
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_intern.search.plan import PolicyName
from ml_intern.search.policies.halving import ends_early
from ml_intern.search.policies.pairs import ancestors
from ml_intern.search.policies.table import POLICIES
from ml_intern.search.tree import SearchTree, State
from tests.search.trees import ACCURACY, PlantedSearch, PlantedTask, additive, tree_of

KINDS = ("draft", "improve", "debug", "combine")
STATES: tuple[State, ...] = ("accepted", "discarded", "crashed", "refused", "stopped", "working")
NAMES = st.sampled_from(sorted(POLICIES))
ADDITIVE = PlantedTask(additive({"a": 0.02, "b": 0.015, "worse": -0.02, "c": 0.01}), ("none", "a", "worse", "b", "c"))
CRASHING = PlantedTask(additive({"a": 0.02, "x": 0.02}), ("none", "x", "a"), crash=frozenset({"x"}))
APPROACH = PlantedTask(additive({"big": 0.05, "a": 0.02}), ("a", "none"), drafts=("poor", "big", "other"))


@st.composite
def trees(draw: st.DrawFn) -> SearchTree:
    rows: list[tuple[str, State, tuple[int, ...], float | None]] = []
    for number in range(1, draw(st.integers(1, 12))):
        kind, state = draw(st.sampled_from(KINDS)), draw(st.sampled_from(STATES))
        count = 2 if kind == "combine" and number > 1 else 1
        parents = draw(st.lists(st.integers(0, number - 1), min_size=count, max_size=count, unique=True))
        mean = draw(st.floats(0, 1)) if state in ("accepted", "discarded") else None
        rows.append((kind, state, tuple(parents), mean))
    return tree_of(rows)


def test_each_name_of_a_policy_has_a_policy() -> None:
    assert set(POLICIES) == set(get_args(PolicyName))


@given(NAMES, trees(), st.integers(0, 9))
def test_a_policy_is_a_function_of_the_tree_and_the_seed(name: PolicyName, tree: SearchTree, seed: int) -> None:
    assert POLICIES[name].next_attempt(tree, Random(seed)) == POLICIES[name].next_attempt(tree, Random(seed))


@given(NAMES, trees(), st.integers(0, 9))
def test_an_attempt_starts_from_what_was_kept_or_repairs_a_crash(name: PolicyName, tree: SearchTree, seed: int) -> None:
    chosen = POLICIES[name].next_attempt(tree, Random(seed))
    assert chosen is not None
    states = {tree[number].state for number in chosen.parents}
    if chosen.kind == "debug":
        assert states == {"crashed"}
        assert not [one for one in tree.children(chosen.parents[0]) if one.kind == "debug"]
        assert tree.debugs_before(chosen.parents[0]) < 3
    else:
        assert states <= {"accepted", "discarded"}
        assert all(tree[number].score for number in chosen.parents)


@given(NAMES, trees(), st.integers(0, 9))
def test_two_attempts_are_combined_once_and_only_if_neither_contains_the_other(
    name: PolicyName, tree: SearchTree, seed: int
) -> None:
    chosen = POLICIES[name].next_attempt(tree, Random(seed))
    if chosen is not None and chosen.kind == "combine":
        first, second = chosen.parents
        assert first not in ancestors(tree, second)
        assert second not in ancestors(tree, first)
        assert {first, second} not in [set(one.parents) for one in tree.attempts if one.kind == "combine"]


def test_greedy_improves_the_best_attempt_and_combines_what_was_accepted_beside_it() -> None:
    one = tree_of([("improve", "accepted", (0,), 0.8), ("improve", "discarded", (1,), 0.79)])
    chosen = POLICIES["greedy"].next_attempt(one, Random(0))
    assert chosen is not None
    assert (chosen.kind, chosen.parents) == ("improve", (1,))
    two = tree_of([("improve", "accepted", (0,), 0.8), ("improve", "accepted", (0,), 0.79)])
    chosen = POLICIES["greedy"].next_attempt(two, Random(0))
    assert chosen is not None
    assert (chosen.kind, chosen.parents) == ("combine", (1, 2))


def test_a_policy_waits_without_a_score_to_start_from() -> None:
    tree = SearchTree(ACCURACY, ())
    assert [policy.next_attempt(tree, Random(0)) for policy in POLICIES.values()] == [None, None, None]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("task", [ADDITIVE, CRASHING], ids=["additive", "crashing"])
def test_greedy_finds_the_best_of_planted_ideas(task: PlantedTask, seed: int) -> None:
    assert PlantedSearch(task, POLICIES["greedy"], Random(seed)).attempts_until_best(30)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["tree", "population"])
@pytest.mark.parametrize("task", [ADDITIVE, CRASHING, APPROACH], ids=["additive", "crashing", "approach"])
def test_tree_and_population_find_the_best_of_planted_ideas(task: PlantedTask, name: PolicyName, seed: int) -> None:
    assert PlantedSearch(task, POLICIES[name], Random(seed)).attempts_until_best(60)


def test_a_draft_that_is_not_better_is_still_an_approach() -> None:
    tree = tree_of(
        [("draft", "crashed", (0,), None), ("debug", "discarded", (1,), 0.6), ("improve", "accepted", (2,), 0.65)]
    )
    assert [tree.approach(number) for number in range(4)] == [0, 1, 2, 2]


def test_a_short_run_ends_an_attempt_only_far_below_and_in_the_lower_half() -> None:
    earlier = [0.70, 0.71, 0.72, 0.73, 0.80]
    assert ends_early(0.60, earlier, 0.01, ACCURACY) == "far below in the short run: 0.6, best of 5 short runs 0.8"
    assert ends_early(0.725, earlier, 0.01, ACCURACY) == ""
    assert ends_early(0.71, earlier, 0.03, ACCURACY) == ""
    assert ends_early(0.1, earlier[:3], 0.01, ACCURACY) == ""


def test_an_attempt_has_to_beat_the_best_of_its_parents() -> None:
    tree = tree_of(
        [
            ("improve", "accepted", (0,), 0.75),
            ("improve", "accepted", (0,), 0.8),
            ("combine", "working", (1, 2), None),
            ("improve", "crashed", (2,), None),
            ("debug", "working", (4,), None),
            ("draft", "discarded", (0,), 0.6),
            ("improve", "discarded", (6,), 0.61),
            ("improve", "working", (7,), None),
        ]
    )
    assert [one and one.number for one in map(tree.compared_with, (3, 5, 8, 1, 0))] == [2, 2, 6, 0, None]


def test_greedy_combines_a_near_miss_once_with_an_attempt_that_became_the_best() -> None:
    def following(
        *rows: tuple[str, State, tuple[int, ...], float | None], near: int = 1
    ) -> tuple[str, tuple[int, ...]]:
        tree = tree_of(rows)
        attempts = tuple(replace(one, near=one.number == near) for one in tree.attempts)
        chosen = POLICIES["greedy"].next_attempt(replace(tree, attempts=attempts), Random(0))
        assert chosen is not None
        return chosen.kind, chosen.parents

    missed: tuple[str, State, tuple[int, ...], float] = ("improve", "discarded", (0,), 0.71)
    better: tuple[str, State, tuple[int, ...], float] = ("improve", "accepted", (0,), 0.8)
    assert following(missed) == ("improve", (0,))
    assert following(missed, better) == ("combine", (2, 1))
    assert following(missed, better, ("combine", "discarded", (2, 1), 0.8)) == ("improve", (2,))
    assert following(better, ("improve", "discarded", (1,), 0.81), near=2) == ("improve", (1,))
