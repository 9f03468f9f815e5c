"""A goal is checked by the program at each end of a turn, which continues until it is met or cannot be."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call
from tests.commands.test_reproduction import answer, evaluate, task, train

__all__ = ["task"]
Run = Callable[..., Done]
Script = Callable[..., str]
METRIC = "accuracy >= 0.9 on test.csv"
TASK = "Train a model, save it as model.pkl and evaluate it with eval.py."


def goal(done: Done) -> tuple[str, str]:
    found = done.json["evidence"]["goal"]
    return found["state"], found["why"]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_the_turn_continues_until_the_metric_holds(run: Run, script: Script, task: Path) -> None:
    model = script(train(60), evaluate(), answer(0.6), train(95), evaluate(), answer(0.95))
    done = run("--output-format", "json", "--goal", METRIC, "-m", model, TASK)
    assert (done.code, done.json["status"]) == (0, "done")
    assert goal(done) == ("met", "eval.py gives accuracy 0.95")


def test_a_command_must_have_its_exit_code(run: Run, script: Script, place: Path) -> None:
    make = {"tool_calls": [call("bash", command="touch made")]}
    model = script({"text": "Ready."}, make, {"text": "Ready now."})
    done = run("--output-format", "json", "--goal", "exit 0: test -e made", "-m", model, "make it")
    assert (done.code, done.json["text"], goal(done)[0]) == (0, "Ready now.", "met")


def test_the_agent_may_say_why_not(run: Run, script: Script, place: Path) -> None:
    model = script({"text": "I tried.\nGoal not met: there is no data."})
    done = run("--output-format", "json", "--goal", "exit 0: test -e made", "-m", model, "make it")
    assert (done.code, done.json["status"], goal(done)[0]) == (1, "failed", "not met")
    assert "The agent gave up: there is no data." in done.err


def test_a_limit_ends_it(run: Run, script: Script, place: Path) -> None:
    model = script(*[{"text": "Ready."}] * 20)
    done = run("--output-format", "json", "--goal", "exit 0: test -e made", "-m", model, "make it")
    assert (done.code, done.json["status"]) == (124, "limit")
    assert "after 11 answers" in done.err


def test_an_edited_test_never_meets_it(run: Run, script: Script, place: Path) -> None:
    (place / "test_it.py").write_text("assert False\n")
    edit = call("bash", command="rm -f test_it.py; echo 'assert True' > test_it.py; echo > conftest.py")
    model = script({"tool_calls": [edit]}, *[{"text": "Goal not met: no."}] * 2)
    done = run("--output-format", "json", "--goal", "exit 0: python3 test_it.py", "-m", model, "make it pass")
    assert (done.code in (1, 4), goal(done)[0]) == (True, "not met")


def test_it_belongs_to_the_thread_until_it_is_removed(run: Run, script: Script, place: Path) -> None:
    given_up = {"text": "Goal not met: no."}
    run("--goal", "exit 0: test -e made", "-m", script(given_up, given_up, {"text": "Fine."}), "make it")
    again = run("--output-format", "json", "-c", "and now?")
    assert (again.code, goal(again)[0]) == (1, "not met")
    removed = run("--output-format", "json", "-c", "--goal", "", "stop")
    assert (removed.code, removed.json["evidence"]) == (0, None)


@pytest.mark.parametrize("text", ["be good", "accuracy", "loss and f1 > 1", "exit zero: x", "exit 0:"])
def test_what_is_not_a_goal_is_refused_with_the_forms(run: Run, script: Script, text: str) -> None:
    done = run("--goal", text, "-m", script({"text": "x"}), "go")
    assert (done.code, "macro F1 >= 0.80 on data/test.csv" in done.err) == (2, True)
