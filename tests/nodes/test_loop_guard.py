"""The guard reports a model that repeats itself, and nothing else."""

import pytest

from ml_intern.nodes.guards.repetition import call_signature, repeats, signature


def ran(name: str, result: str = "same") -> str:
    return signature(name, {}, result)


def proposed(name: str) -> str:
    return call_signature(name, {})


def test_three_equal_calls_with_equal_results_and_a_fourth() -> None:
    assert repeats([ran("a")] * 3, proposed("a"))


def test_two_calls_are_not_enough_and_another_call_is_not_reported() -> None:
    assert repeats([ran("a")] * 2, proposed("a")) is None
    assert repeats([ran("a")] * 3, proposed("b")) is None


def test_polling_with_changing_results_is_not_reported() -> None:
    assert repeats([ran("poll", f"step {step}") for step in range(10)], proposed("poll")) is None


@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_a_cycle_that_ran_twice_and_begins_again(length: int) -> None:
    cycle = [ran(f"tool{i}") for i in range(length)]
    assert repeats([*cycle, *cycle], proposed("tool0"))
    assert repeats([*cycle, *cycle], proposed("other")) is None
    assert repeats([*cycle, *cycle[:-1]], proposed(f"tool{length - 1}")) is None


def test_a_cycle_that_the_model_left_is_not_reported() -> None:
    cycle = [ran("a"), ran("b")]
    assert repeats([*cycle, *cycle, ran("c")], proposed("a")) is None


def test_results_that_differ_in_paths_and_times_only_are_equal() -> None:
    early = signature("bash", {"command": "x"}, "wrote /tmp/a1/out at 2026-01-01T10:00:00 in 1.20 s")
    late = signature("bash", {"command": "x"}, "wrote /tmp/b2/out at 2026-01-01T10:07:41 in 3.41 s")
    assert early == late


def test_results_that_differ_in_a_number_are_not_equal() -> None:
    assert signature("bash", {}, "loss 0.51") != signature("bash", {}, "loss 0.49")


def test_arguments_in_another_order_are_the_same_call() -> None:
    assert call_signature("t", {"a": 1, "b": 2}) == call_signature("t", {"b": 2, "a": 1})
