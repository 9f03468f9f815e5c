"""Evaluations on the machines of a pool: a real sshd of this machine that stands for two."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call, place, run, script, stdin
from tests.commands.test_improve import EVALUATE, SEARCH, learn, project, states
from tests.runs.remote.conftest import connections, sshd
from tests.runs.remote.sshd import Sshd

__all__ = ["connections", "place", "project", "run", "script", "sshd", "stdin"]
Run = Callable[..., Done]
Script = Callable[..., str]
LARGE = 10_000_001

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


@pytest.fixture
def machines(run: Run, sshd: Sshd, tmp_path: Path, connections: Path) -> Path:
    """The working folders of the machines `red` and `blue`, the members of the pool `both`."""
    for name in ("red", "blue"):
        values = (f"ssh_config={sshd.config}", f"workdir={tmp_path / 'there' / name}")
        words = [word for value in values for word in ("--set", value)]
        assert run("compute", "add", name, "--host", "box", *words).code == 0
    assert run("compute", "add", "both", "--kind", "pool", "--set", "members=red", "--set", "members=blue").code == 0
    return tmp_path / "there"


def test_a_pool_evaluates_with_the_users_data_and_the_holdout_stays_here(
    run: Run, script: Script, project: Path, machines: Path
) -> None:
    data = project / "data.csv"
    data.write_text("x" * LARGE)
    evaluator = "import os; assert os.path.getsize('data.csv') == 10_000_001\n"
    (project / "eval.py").write_text(evaluator + "import pathlib; pathlib.Path('left.txt').touch()\n" + EVALUATE)
    hidden = project.parent / "holdout.csv"
    hidden.write_text("x,label\n" + "".join(f"a{n},{n % 3}\n" for n in range(50, 150)))
    steal = {"tool_calls": [call("bash", command=f"ln -s {hidden} stolen")]}
    model = script(steal, learn(100), {"text": "learn half"})
    done = run(*SEARCH, "--pool", "both", "--holdout", str(hidden), "--attempts", "1", "-m", model)
    assert done.code == 0, done.err
    assert [state for state, _ in states(run)] == ["accepted", "accepted"]
    conclusion = run("improve", "status", "--json").json["conclusion"]
    assert (conclusion["winner"], conclusion["holdout"]["values"]) == (1, [0.5])
    assert list(machines.glob("*/runs/*/work/left.txt"))
    assert not list(machines.rglob("*holdout*"))
    assert not list(machines.rglob("stolen"))


def test_machines_that_fail_are_not_a_failure_of_the_attempt(
    run: Run, script: Script, project: Path, machines: Path
) -> None:
    lost = project.parent / "lost"
    lose = f'n=$(ls {lost}.* 2>/dev/null | wc -l); test "$n" -ge 2 || {{ touch {lost}.$n; kill -9 $PPID; sleep 600; }}'
    search = (*SEARCH[:-1], f"{lose}; python3 eval.py test.csv")
    done = run(*search, "--pool", "both", "--attempts", "1", "-m", script(learn(100), {"text": "half"}))
    assert done.code == 0, done.err
    assert [state for state, _ in states(run)] == ["accepted", "accepted"]
    assert sorted(path.name for path in project.parent.glob("lost.*")) == ["lost.0", "lost.1"]


def test_a_failure_of_the_evaluator_there_is_the_failure_of_the_attempt(
    run: Run, script: Script, project: Path, machines: Path
) -> None:
    crash = script({"tool_calls": [call("bash", command="rm params.txt")]}, {"text": "less"})
    done = run(*SEARCH, "--pool", "both", "--attempts", "1", "-m", crash)
    assert done.code == 0, done.err
    state, why = states(run)[1]
    assert (state, "No such file" in why, "with exit code 1" in why) == ("crashed", True, True)


def test_a_pool_that_cannot_be_used_is_one_line(
    run: Run, script: Script, project: Path, machines: Path, connections: Path
) -> None:
    model = script(learn(100), {"text": "half"})
    unknown = run(*SEARCH, "--pool", "red", "-m", model)
    assert (unknown.code, "'red' is not a pool in the settings (pools: both)" in unknown.err) == (2, True)
    for name in ("red", "blue"):
        assert run("compute", "add", name, "--host", "127.0.0.1", "--set", "port=1").code == 0
    away = run(*SEARCH, "--pool", "both", "-m", model)
    assert (away.code, "the pool both cannot be used" in away.err) == (75, True)


def test_a_best_attempt_whose_new_run_fails_once_is_run_again(
    run: Run, script: Script, project: Path, machines: Path
) -> None:
    failed = project.parent / "failed"
    fail = f"test {{seed}} -lt 1000000 || test -e {failed} || {{ touch {failed}; exit 1; }}"
    search = (*SEARCH[:-1], f"{fail}; python3 eval.py test.csv")
    done = run(*search, "--pool", "both", "--attempts", "1", "-m", script(learn(100), {"text": "half"}))
    assert done.code == 0, done.err
    assert failed.exists()
    assert run("improve", "status", "--json").json["conclusion"]["winner"] == 1
