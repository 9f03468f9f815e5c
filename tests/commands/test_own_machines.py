"""`ml-intern compute`: machines in the user's settings, a login to one, and a run that the model starts there."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_intern.configs.settings import ComputeTarget
from ml_intern.runs.remote.connection import FarSide, sockets_folder
from tests.commands.conftest import Done, call
from tests.runs.remote.conftest import connections, sshd
from tests.runs.remote.sshd import Sshd

__all__ = ["connections", "sshd"]
Run = Callable[..., Done]


@pytest.fixture
def box(run: Run, sshd: Sshd, tmp_path: Path, connections: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the target `box`, which is in the settings and does not reach the Hub."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    there = tmp_path / "there"
    values = (f"ssh_config={sshd.config}", f"workdir={there}", "usd_per_hour=2.5")
    added = run("compute", "add", "box", "--host", "box", *(word for pair in values for word in ("--set", pair)))
    assert added.code == 0, added.err
    return there


def test_a_machine_is_added_listed_tested_and_removed(run: Run, box: Path) -> None:
    listed = run("compute", "list")
    assert [line.split()[:3] for line in listed.out.splitlines()] == [["NAME", "KIND", "HOST"], ["box", "ssh", "box"]]
    assert "$2.50 per hour" in listed.out
    tested = run("compute", "test", "box")
    assert tested.code == 0, tested.err
    assert "it can be used" in tested.out
    assert "does not reach the Hub" in tested.out
    assert "not tested" in listed.out
    assert "GB free, no internet (20" in run("compute", "list").out
    (listing,) = run("compute", "list", "--json").json
    assert (listing["measured"]["internet"], listing["runs"]) == (False, [])
    assert run("compute", "remove", "box").code == 0
    assert "no machines in the settings" in run("compute", "list").out
    assert run("compute", "test", "box").code == 2


def test_a_folder_of_wheels_is_counted_and_a_missing_one_is_named(run: Run, box: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "my wheels"
    shown = run("compute", "list", "--json").json[0]
    pairs = (f"ssh_config={shown['ssh_config']}", f"wheels={wheels}")
    assert (
        run("compute", "add", "box", "--host", "box", *(word for pair in pairs for word in ("--set", pair))).code == 0
    )
    missing = run("compute", "test", "box")
    assert (missing.code, f"its folder of wheels {wheels} is not there" in missing.out) == (1, True)
    wheels.mkdir()
    (wheels / "tinynet-1.0-py3-none-any.whl").touch()
    tested = run("compute", "test", "box")
    assert (tested.code, f"wheels: 1 in {wheels}" in tested.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("local", "--host", "h"), "reserved"),
        (("gpu", "--host=-oProxyCommand=x"), "must be one word that does not begin with -"),
        (("gpu",), "a target of kind ssh needs a host"),
        (("gpu", "--kind", "cloud"), "kind: "),
        (("gpu", "--host", "h", "--set", "colour=red"), "colour: "),
        (("gpu", "--host", "h", "--set", "requeue=true"), "only a target of kind slurm has requeue"),
    ],
)
def test_a_wrong_machine_is_refused(run: Run, words: tuple[str, ...], problem: str) -> None:
    refused = run("compute", "add", *words)
    assert refused.code == 2
    assert problem in refused.err
    assert run("compute", "list", "--json").json == []


def test_a_pool_needs_members_that_exist_and_a_member_is_not_removed(run: Run, box: Path) -> None:
    assert "'lab' is not a machine" in run("compute", "add", "all", "--kind", "pool", "--set", "members=lab").err
    assert "no other, needs members" in run("compute", "add", "all", "--kind", "pool").err
    assert "ml-intern compute test box" in run("compute", "add", "all", "--kind", "pool", "--set", "members=box").out
    assert [line.split()[:3] for line in run("compute", "list").out.splitlines()[1:]] == [
        ["box", "ssh", "box"], ["all", "pool", "box"],
    ]  # fmt: skip
    assert "test its members: box" in run("compute", "test", "all").err
    kept = run("compute", "remove", "box")
    assert (kept.code, "a member of the pool all" in kept.err) == (2, True)
    assert [run("compute", "remove", name).code for name in ("all", "box")] == [0, 0]


def test_the_model_trains_there_and_is_resumed_at_the_end(
    run: Run, box: Path, place: Path, script: Callable[..., str]
) -> None:
    (place / "train.py").write_text("print('accuracy=0.75')")
    steps = (
        {"tool_calls": [call("jobs", operation="run", target="box", script="train.py", timeout="10m")]},
        {"text": "it runs"},
        {"tool_calls": [call("jobs", operation="list")]},
        {"text": "trained", "expect": "accuracy 0.75"},
    )
    done = run("-m", script(*steps), "--max-budget-usd", "1", "train train.py on box")
    assert done.code == 0, done.err
    (row,) = run("jobs", "list", "--json").json
    assert (row["state"], row["backend"], row["metrics"]) == ("succeeded", "ssh", {"accuracy": 0.75})


def test_a_run_that_does_not_fit_the_machine_as_measured_is_refused_before_it_starts(
    run: Run, box: Path, place: Path, script: Callable[..., str]
) -> None:
    (place / "train.py").write_text("from datasets import load_dataset\nload_dataset('org/data')\n")
    assert run("compute", "test", "box").code == 0
    steps = (
        {"tool_calls": [call("jobs", operation="run", target="box", script="train.py")]},
        {"text": "refused", "expect": "[internet] box does not reach the Hub, and the script loads org/data"},
    )
    assert run("-m", script(*steps), "train train.py on box").code == 0
    assert not (box / "runs").exists()


def test_an_unattended_run_uses_no_machine_that_the_user_did_not_name(
    run: Run, box: Path, script: Callable[..., str]
) -> None:
    steps = ({"tool_calls": [call("jobs", operation="run", target="box", command="true")]}, {"text": "refused"})
    run("-m", script(*steps), "train it")
    assert run("jobs", "list", "--json").json == []
    assert not (box / "runs").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda _: {"workdir": "/proc/x"}, "/proc/x cannot be used (No such file or directory)"),
        (lambda _: {"workdir": "/etc/passwd"}, "/etc/passwd cannot be used (Not a directory)"),
        (lambda _: {"setup": "echo no module >&2; exit 3"}, "after its setup, modules and container: no module"),
    ],
)
def test_a_folder_or_a_setup_that_cannot_work_is_named(
    run: Run, box: Path, change: Callable[[Path], dict[str, str]], problem: str
) -> None:
    shown = run("compute", "list", "--json").json[0]
    values = {name: shown[name] for name in ("ssh_config", "workdir")} | change(box)
    pairs = (word for name, value in values.items() for word in ("--set", f"{name}={value}"))
    assert run("compute", "add", "box", "--host", "box", *pairs).code == 0
    tested = run("compute", "test", "box")
    assert (tested.code, problem in tested.out + tested.err) == (1, True), tested.out + tested.err


def test_a_test_logs_in_though_another_connection_is_open(run: Run, box: Path, sshd: Sshd, tmp_path: Path) -> None:
    target = ComputeTarget.model_validate({"kind": "ssh", "host": "box", "ssh_config": str(sshd.config)})
    asyncio.run(FarSide("box", target, sockets_folder(tmp_path / "home")).call("usage", {}))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    config = tmp_path / "config"
    config.write_text(sshd.config.read_text().replace(str(sshd.folder / "user_key"), str(tmp_path / "other")))
    run("compute", "add", "box", "--host", "box", "--set", f"ssh_config={config}", "--set", f"workdir={box}")
    refused = run("compute", "test", "box")
    assert refused.code == 75
    assert f"it refused the login (check the user and key with `ssh -F {config} box true`)" in refused.err
