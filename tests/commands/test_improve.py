"""`ml-intern improve`: attempts are evaluated and accepted only when better, and the winner is merged after a yes."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Done, call
from tests.commands.program import Program
from tests.fakes.postgres import PostgresServer

Run = Callable[..., Done]
Script = Callable[..., str]
EVALUATE = """import sys
rows = [line.split(",") for line in open(sys.argv[1]).read().split()[1:]]
known = dict(line.split() for line in open("params.txt"))
print("accuracy", sum(known.get(one) == label for one, label in rows) / len(rows))
print("n", len(rows))
"""
SEARCH = ("improve", "tune it", "--metric", "max accuracy", "--eval", "python3 eval.py test.csv")

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


def fill(folder: Path) -> None:
    """Write a project with an evaluator, test data of 200 rows and parameters of which none is right."""
    (folder / "eval.py").write_text(EVALUATE)
    (folder / "test.csv").write_text("x,label\n" + "".join(f"a{n},{n % 3}\n" for n in range(200)))
    (folder / "params.txt").write_text("a0 1\n")


@pytest.fixture
def project(place: Path) -> Path:
    """A project in git, in the working folder."""
    fill(place)
    commit(place)
    return place


def commit(folder: Path) -> None:
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start")):
        subprocess.run(["git", "-c", "user.name=u", "-c", "user.email=u@localhost", *words], cwd=folder, check=True)


def learn(count: int) -> dict[str, Any]:
    """A step that makes this many of the rows right."""
    command = f"for n in $(seq 0 {count - 1}); do echo a$n $((n % 3)); done > params.txt"
    return {"tool_calls": [call("bash", command=command)]}


def states(run: Run) -> list[tuple[str, str]]:
    return [(one["state"], one["why"]) for one in run("improve", "tree", "--json").json["attempts"]]


def test_a_better_attempt_wins_and_is_merged_and_undone(run: Run, script: Script, project: Path) -> None:
    idea = {"text": "Idea: learn half of the rows\nIt works."}
    done = run(*SEARCH, "--attempts", "2", "-m", script(learn(100), idea))
    assert done.code == 0, done.err
    assert [state for state, _ in states(run)] == ["accepted", "accepted", "discarded"]
    record = run("improve", "status", "--json").json
    assert (record["state"], record["conclusion"]["winner"], record["runs"]) == ("finished", 1, False)
    assert record["tree"]["attempts"][1]["score"]["values"] == [0.5]
    assert record["tree"]["attempts"][1]["idea"] == "learn half of the rows"
    assert "learn half of the rows" in run("improve", "report").out
    assert "no threads" in run("threads", "list").out
    before = (project / "params.txt").read_text()
    assert [line[:5] for line in run("improve", "tree").out.splitlines()] == ["ATTEM", "0 bas", "└ 1 i", "  └ 2"]
    assert run("improve", "apply").code == 2
    assert (project / "params.txt").read_text() == before
    assert run("improve", "apply", "--yes").code == 0
    assert len((project / "params.txt").read_text().splitlines()) == 100
    assert run("improve", "undo", "--yes").code == 0
    assert (project / "params.txt").read_text() == before
    assert not list(project.parent.glob("home-searches/*/improve-*"))


def test_a_changed_lock_is_refused_and_the_evaluator_cannot_change(run: Run, script: Script, project: Path) -> None:
    cheat = "echo 'print(\"accuracy 1.0\")' > eval.py; echo 'a0,0' > test.csv; mkdir -p data; echo 1 > data/more.csv"
    (project / "data").mkdir()
    (project / "data" / "train.csv").write_text("1\n")
    model = script({"tool_calls": [call("bash", command=cheat)]}, {"text": "an easier test"})
    done = run(*SEARCH, "--lock", "data/*", "--attempts", "1", "-m", model)
    assert done.code == 0, done.err
    assert states(run)[1] == ("refused", "it changed data/more.csv, which must not change")
    assert run("improve", "apply", "--yes").code == 2


def test_a_crash_and_a_worse_attempt_are_discarded(run: Run, script: Script, project: Path) -> None:
    crash = script({"tool_calls": [call("bash", command="rm params.txt")]}, {"text": "less is more"})
    assert run(*SEARCH, "--attempts", "1", "-m", crash).code == 0
    state, why = states(run)[1]
    assert (state, "No such file" in why) == ("crashed", True)


def test_the_holdout_is_hidden_and_scored_once(run: Run, script: Script, project: Path) -> None:
    hidden = project.parent / "holdout.csv"
    hidden.write_text("x,label\n" + "".join(f"a{n},{n % 3}\n" for n in range(50, 150)))
    spy = {"tool_calls": [call("bash", command=f"cat {hidden} > seen.txt; true"), call("read", path=str(hidden))]}
    model = script(spy, learn(100), {"text": "learn half"})
    done = run(*SEARCH, "--holdout", str(hidden), "--attempts", "1", "-m", model)
    assert done.code == 0, done.err
    conclusion = run("improve", "status", "--json").json["conclusion"]
    assert (conclusion["holdout"]["values"], conclusion["holdout_baseline"]["values"]) == ([0.5], [0.0])
    assert "a60" not in run("improve", "diff", "--attempt", "1").out.replace("+a60 0", "")


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--eval", "true"), 1, "the baseline has no accuracy: the evaluator printed no accuracy (it printed nothing)"),
        (("--eval", "yes | head -c 5000000"), 1, "the evaluator printed more than 4 MB"),
        (("--eval", "echo accuracy nan"), 1, "accuracy nan, which cannot be compared"),
        (("--eval", "echo accuracy 1; echo accuracy 2"), 1, "2 values of accuracy: 1, 2"),
        (("--budget", "1", "--attempt-usd", "0.7"), 2, "is enough for 1 attempt"),
        (("--metric", "accuracy"), 2, "is not an objective"),
        (("--lock", "none/*"), 2, "no file matches 'none/*'"),
        (("--policy", "luck"), 2, "'luck' is not a policy"),
        (("--holdout", "test.csv"), 2, "is tracked by git"),
        (("--no-sandbox",), 78, "improve needs the sandbox"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(
    run: Run, script: Script, project: Path, words: tuple[str, ...], code: int, line: str
) -> None:
    done = run(*SEARCH, *words, "-m", script({"text": "x"}))
    assert done.code == code, done.err
    assert line in done.err.splitlines()[-1]
    assert not subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, check=True).stdout


def test_a_perfect_metric_and_a_dry_run_start_no_attempt(run: Run, script: Script, project: Path) -> None:
    dry = run(*SEARCH, "--dry-run", "-m", script({"text": "x"}))
    assert "$10.00 buys at least 10" in dry.out
    assert "locked: eval.py, test.csv" in dry.out
    assert len(states(run)) == 1
    undo = run("improve", "undo")
    assert (undo.code, "no attempt of the search" in undo.err) == (2, True)
    perfect = run("improve", "--metric", "max accuracy", "--eval", "echo accuracy 1.0", "-m", script({"text": "x"}))
    assert (perfect.code, "already 1" in perfect.out) == (0, True)


def test_a_failed_search_is_resumed_when_the_user_has_fixed_the_cause(run: Run, script: Script, project: Path) -> None:
    (project / "params.txt").unlink()
    assert run(*SEARCH, "--attempts", "1", "-m", script(learn(100), {"text": "half"})).code == 1
    (project / "params.txt").write_text("a0 1\n")
    done = run("improve", "resume")
    assert done.code == 0, done.err
    assert [state for state, _ in states(run)] == ["accepted", "accepted"]
    assert run("improve", "resume").code == 2
    assert run("improve", "pause").code == 2


def test_a_killed_search_continues_where_it_was(tmp_path: Path) -> None:
    program = Program(tmp_path)
    fill(program.folder)
    commit(program.folder)
    marked = {"tool_calls": [call("bash", command="echo once >> ran.txt")]}
    model = program.script(marked, learn(100), {"tool_calls": [call("bash", command="sleep 2")]}, {"text": "half"})
    words = (*SEARCH, "--attempts", "1", "-m", model)
    with program.start(*words) as process:
        wait_for_state(program, "working")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
    assert "interrupted" in program.run("improve", "status").stdout
    done = program.run(*words)
    assert done.returncode == 0, done.stderr
    shown = program.run("improve", "tree").stdout
    assert shown.count("improve") == 1
    assert "half" in shown
    branch = git(program.folder, "branch", "--list", "improve/*/1").strip()
    assert git(program.folder, "show", f"{branch}:ran.txt") == "once\n"


def test_a_stopped_search_continues_the_attempts_that_it_cut_off(tmp_path: Path) -> None:
    program = Program(tmp_path)
    fill(program.folder)
    commit(program.folder)
    script = program.script(learn(100), {"tool_calls": [call("bash", command="sleep 10")]}, {"text": "half"})
    with program.start(*SEARCH, "--attempts", "1", "-m", script) as process:
        wait_for_state(program, "working")
        assert program.run("improve", "stop").returncode == 0
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert "stopped by the user" in program.run("improve", "status").stdout
    assert program.run("improve", "resume").returncode == 0
    shown = program.run("improve", "tree").stdout
    assert (shown.count("improve"), "better" in shown) == (1, True)


def test_a_metric_after_much_other_output_is_read(run: Run, project: Path, script: Script) -> None:
    done = run(*SEARCH[:-1], "seq 60000; python3 eval.py test.csv", "--dry-run", "-m", script({"text": "x"}))
    assert (done.code, "baseline: accuracy 0, " in done.out) == (0, True), done.err


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def wait_for_state(program: Program, state: str) -> None:
    """Wait until the first attempt has this state."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        if state in program.run("improve", "tree").stdout:
            return
    pytest.fail(f"no attempt was ever {state}")


def test_a_folder_without_a_search_says_so(run: Run, project: Path) -> None:
    assert "there is no search in this folder" in run("improve", "tree").err


def test_a_search_that_failed_without_its_model_is_resumed(run: Run, script: Script, project: Path) -> None:
    failed = run(*SEARCH, "--attempts", "1", "-m", script({"error": {"status": 401, "message": "no key"}}))
    assert failed.code != 0
    assert run("improve", "status", "--json").json["state"] == "failed"
    done = run("improve", "resume", "-m", script(learn(100), {"text": "learn half"}))
    assert done.code == 0, done.err
    assert [state for state, _ in states(run)] == ["accepted", "accepted"]


def test_an_agent_proposes_a_search_and_is_resumed_at_its_end(run: Run, script: Script, project: Path) -> None:
    proposed = call(
        "improve",
        task="tune it",
        metric="max accuracy",
        evaluator="python3 eval.py test.csv",
        budget_usd=2.0,
        attempts=1,
    )
    model = script({"tool_calls": [proposed]}, {"text": "a search runs"}, {"text": "the search has ended"})
    done = run("-m", model, "--yolo", "--output-format", "stream-json", "find better parameters")
    assert done.code == 0, done.err
    assert [one["data"]["state"] for one in done.events if one["type"] == "job_update"][-1] == "succeeded"
    assert done.events[-1]["data"]["text"] == "the search has ended"
    record = run("improve", "status", "--json").json
    assert (record["state"], record["limits"]["budget_usd"]) == ("finished", 2)
    # The script of the attempt is the same one, and its search was refused.
    assert states(run)[1:] == [("discarded", "it changed nothing")]


def test_a_short_run_that_is_far_below_ends_an_attempt_before_its_evaluation(
    run: Run, script: Script, project: Path
) -> None:
    (project / "short.csv").write_text("x,label\n" + "".join(f"a{n},{n % 3}\n" for n in range(0, 200, 10)))
    commit(project)
    number = "n=$(basename $PWD | grep -o '[0-9]*$'); test $n -eq 4 && echo a0 2 > params.txt"
    rows = "for row in $(seq 0 $((n * 50 - 1))); do echo a$row $((row % 3)); done > params.txt"
    model = script({"tool_calls": [call("bash", command=f"{number} || {rows}")]}, {"text": "learn some"})
    done = run(*SEARCH, "--proxy", "python3 eval.py short.csv", "--attempts", "4", "-m", model)
    assert done.code == 0, done.err
    attempts = run("improve", "tree", "--json").json["attempts"]
    assert [(one["state"], one["proxy"], one["score"] is None) for one in attempts] == [
        ("accepted", 0.0, False), ("accepted", 0.25, False), ("accepted", 0.5, False), ("accepted", 0.75, False),
        ("discarded", 0.0, True),
    ]  # fmt: skip
    assert "far below in the short run: 0, best of 4 short runs 0.75" in run("improve", "tree").out


def test_a_search_with_its_threads_on_postgresql_ends_with_a_winner(
    run: Run, script: Script, project: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_INTERN_DATABASE", postgres.new_database())
    done = run(*SEARCH, "--attempts", "3", "--parallel", "2", "-m", script(learn(100), {"text": "learn half"}))
    assert done.code == 0, done.err
    assert states(run)[1] == ("accepted", "0 to 0.5 on 200 rows: chance reaches 0.0752")
    assert run("improve", "apply", "--yes").code == 0
    assert len((project / "params.txt").read_text().splitlines()) == 100
    assert run("improve", "undo", "--yes").code == 0


def test_the_same_command_continues_with_its_limits_and_another_plan_is_another_search(
    run: Run, script: Script, project: Path
) -> None:
    model = script(learn(100), {"text": "learn half"})
    assert run(*SEARCH, "--dry-run", "-m", model).code == 0
    first = run("improve", "status", "--json").json["search_id"]
    done = run(*SEARCH, "--attempts", "1", "-m", model)
    assert f"continuing the search {first}, which has the same options; budget $10.00, at most 1 attempt" in done.err
    assert len(states(run)) == 2
    for words in (("--budget", "2"), ("--policy", "tree"), ("--lock", "params.txt")):
        assert run(*SEARCH, *words, "--dry-run", "-m", model).code == 0
    assert len(run("improve", "status", "--json").json["tree"]["attempts"]) == 1
    assert "continuing" not in run(*SEARCH, "--evaluations", "2", "--dry-run", "-m", model).err
