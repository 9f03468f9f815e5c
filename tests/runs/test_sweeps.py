"""The runs of a sweep are found by its name."""

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.runs.sweeps import runs_named, runs_with
from ml_intern.store.runs import RunRow


def sweep(call: str, name: str, *states: str) -> list[RunRow]:
    return [
        RunRow(f"run-{call}{number}", "t", "train", state, call=call, name=f"{name} lr={number}".strip())
        for number, state in enumerate(states)
    ]


MOONS = sweep("a", "moons", "running", "queued")
OLD = sweep("b", "moons", "succeeded", "failed")
SINGLE = RunRow("run-c", "t", "train", call="c", name="moons x")


def test_a_sweep_is_found_by_its_name_and_an_open_one_before_one_that_has_ended() -> None:
    assert runs_named("moons", [*MOONS, *OLD, SINGLE], latest=False) == MOONS
    assert runs_named("moons", OLD) == OLD
    assert runs_named("moon", MOONS) == runs_named("", MOONS) == runs_named("moons", [SINGLE]) == []


def test_a_run_of_that_name_comes_first() -> None:
    assert runs_named("moons", [*MOONS, RunRow("run-d", "t", "train", name="moons")]) == []


def test_two_open_sweeps_of_one_name_are_not_cancelled_by_it() -> None:
    other = sweep("d", "moons", "running", "running")
    assert runs_named("moons", [*MOONS, *other]) == other
    with pytest.raises(UsageError, match=r"several sweeps, with the runs run-a0, run-d0 \(name one"):
        runs_named("moons", [*MOONS, *other], latest=False)
    assert runs_with(MOONS[1], [*MOONS, *other]) == MOONS


def test_runs_without_a_call_are_no_sweep() -> None:
    rows = sweep("", "x", "running", "running")
    assert runs_named("x", rows) == []
    assert runs_with(rows[0], rows) == rows[:1]
