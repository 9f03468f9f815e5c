"""The guard reports a model that repeats itself, and nothing else."""

import pytest

from ml_intern.nodes.guards.repetition import (
    NEW_CALLS,
    WAITING_CALLS,
    call_signature,
    progressed,
    repeated_again,
    repeats,
    signature,
)


def ran(name: str, result: str = "same") -> str:
    return signature(name, {}, result)


def proposed(*names: str) -> list[str]:
    return [call_signature(name, {}) for name in names]


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


def test_a_reply_with_a_call_outside_the_loop_is_not_reported() -> None:
    assert repeats([ran("a")] * 3, proposed("a", "new")) is None
    assert repeats([ran("a"), ran("b")] * 2, proposed("a", "b"))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_a_call_that_was_not_run_continues_the_loop(length: int) -> None:
    names = [f"tool{i}" for i in range(length)]
    recent = [ran(name) for name in names] * 3
    for name in [*names, *names]:
        assert repeats(recent, proposed(name))
        recent += repeated_again(recent, proposed(name))


def test_calls_that_repeat_in_no_order_are_reported() -> None:
    recent = [ran(name) for name in "abbabaababbaababbabaab"]
    assert "only repeated earlier calls" in (repeats(recent, proposed("a")) or "")
    assert repeats(recent, proposed("c")) is None


def test_a_sweep_is_never_reported() -> None:
    recent: list[str] = []
    for step in range(100):
        args = {"command": f"train --lr {step}"}
        assert repeats(recent, [call_signature("bash", args)]) is None
        recent.append(signature("bash", args, "done"))


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("bash", {"command": "sleep 60; squeue"}),
        ("bash", {"command": "squeue; sleep 2m"}),
        ("jobs", {"operation": "wait", "run": "r"}),
    ],
)
def test_waiting_without_a_change_is_reported_late(name: str, args: dict[str, str]) -> None:
    call, entry = [call_signature(name, args)], signature(name, args, "pending")
    assert repeats([entry] * (WAITING_CALLS - 1), call) is None
    assert repeats([entry] * WAITING_CALLS, call)


def test_waiting_between_other_calls_is_reported_late() -> None:
    wait, look = {"command": "sleep 60"}, {"command": "squeue"}
    cycle = [signature("bash", wait, ""), signature("bash", look, "pending")]
    assert repeats(cycle * (WAITING_CALLS // 2 - 1), [call_signature("bash", wait)]) is None
    assert repeats(cycle * (WAITING_CALLS // 2), [call_signature("bash", wait)])


def test_a_short_pause_is_not_waiting() -> None:
    args = {"command": "sleep 1; cat log"}
    assert repeats([signature("bash", args, "x")] * 3, [call_signature("bash", args)])


def test_many_new_calls_are_progress_and_repeated_ones_are_not() -> None:
    new = [ran(f"new{i}") for i in range(NEW_CALLS)]
    assert progressed([ran("a"), *new])
    assert not progressed(new[1:])
    assert not progressed([new[3], *new])
    assert not progressed([ran("a"), *new[1:], new[1]])
