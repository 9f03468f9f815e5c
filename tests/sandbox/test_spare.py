"""A waiting sandbox is used only where a new one would be the same, and the command cannot tell the difference."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ml_intern.sandbox import spare
from ml_intern.sandbox.bubblewrap import Profile, sandbox_problem
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from ml_intern.sandbox.spare import end_waiting, wrap_captured

pytestmark = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")
ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash") or "bash"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "home").mkdir()
    (tmp_path / "ws").mkdir()
    yield tmp_path / "ws"
    end_waiting()


def profile_of(workspace: Path, **request: Any) -> Profile:
    environment = {"HOME": str(workspace.parent / "home"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    return build_profile(SandboxRequest(str(workspace), **request), environment)


def run(command: str, profile: Profile, folder: str = "", argv: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run a command to its end and wait until the next sandbox waits."""
    with wrap_captured(argv or (BASH, "-c", command), profile, folder, BASH) as wrapped:
        ended = threading.Event()
        environment = {**wrapped.environment, "ML_INTERN_CALL": "mark"}
        started = wrapped.start_captured(on_end=ended.set, environment=environment, folder=folder or profile.workspace)
        with os.fdopen(started.output, "rb") as output:
            text = os.fsdecode(output.read())
        assert ended.wait(30)
    return started.process.wait(), text


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waiting(profile: Profile) -> list[Any]:
    return [one for one in spare._waiting if one.profile.workspace == profile.workspace]


def run_twice(command: str, profile: Profile, **options: Any) -> tuple[tuple[int, str], tuple[int, str]]:
    """Run a command in a new sandbox, then in one that waited."""
    first = run(command, profile, **options)
    until(lambda: waiting(profile))
    process = waiting(profile)[0].process
    second = run(command, profile, **options)
    assert process.returncode is not None
    return first, second


@pytest.mark.parametrize("network", ["off", "list", "on"])
def test_a_command_sees_the_same_in_a_waiting_sandbox(workspace: Path, network: str) -> None:
    (workspace / "sub dir").mkdir()
    command = "env | sort; pwd; cat; umask; echo $$ $SHLVL $0; readlink /proc/self/fd/[0-9]* | tr -d 0-9; exit 7"
    first, second = run_twice(command, profile_of(workspace, network=network), folder=f"{workspace}/sub dir")
    assert first == second
    assert first[0] == 7
    assert "ML_INTERN_CALL=mark" in first[1]


def test_arguments_and_values_arrive_unchanged(workspace: Path) -> None:
    profile = profile_of(workspace)
    profile = replace(profile, environment={**profile.environment, "LC_X": "a\n$(id)'\" b", "SEED": ""})
    argv = (
        BASH,
        "-c",
        'printf "<%s>" "$@" "$LC_X" "${SEED-unset}"',
        "-",
        "",
        "a b",
        "$(id)\n",
        "-n",
        "é\udcff",
    )
    expected = (0, "<><a b><$(id)\n><-n><é\udcff><a\n$(id)'\" b><>")
    assert run_twice("", profile, argv=argv) == (expected, expected)


def waiting_is_used(workspace: Path, change: Callable[[], object], **request: Any) -> bool:
    """Return whether the sandbox that waits after a command is used after a change."""
    profile = profile_of(workspace)
    run("true", profile)
    until(lambda: waiting(profile))
    before = waiting(profile)[0]
    change()
    run("true", profile_of(workspace, **request))
    until(lambda: before.process.returncode is not None)
    return bool(before.process.returncode == 0)


def replaced(folder: Path) -> None:
    folder.rename(folder.with_name("old"))
    folder.mkdir()


def removed(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "the workspace made anew": replaced,
    "the workspace removed and made anew": removed,
    "a repository": lambda ws: subprocess.run(["git", "init", "-q", ws], check=True),
    "a nested repository": lambda ws: subprocess.run(["git", "init", "-q", ws / "a/b"], check=True),
    "a secret": lambda ws: (ws / ".env").write_text("HF_TOKEN=hf_aVeryFakeTokenForTheTests0009\n"),
}


@pytest.mark.parametrize("what", [*CHANGES, "nothing", "another network"])
def test_it_is_used_only_if_a_new_one_would_be_the_same(workspace: Path, what: str) -> None:
    change = CHANGES.get(what, Path.exists)
    request = {"network": "list"} if what == "another network" else {}
    assert waiting_is_used(workspace, partial(change, workspace), **request) is (what == "nothing")


def test_changed_settings_of_a_repository_are_guarded_again(workspace: Path) -> None:
    subprocess.run(["git", "init", "-q", workspace], check=True)
    setting = ["git", "-C", str(workspace), "config", "user.name"]
    for _ in range(3):  # numbers of files are used again
        assert waiting_is_used(workspace, lambda: subprocess.run([*setting, os.urandom(4).hex()], check=True)) is False
    code, _ = run("git config core.fsmonitor evil", profile_of(workspace))
    assert code != 0


def test_a_waiting_sandbox_has_no_secret(workspace: Path) -> None:
    profile = profile_of(workspace)
    secret = replace(profile, environment={**profile.environment, "HF_TOKEN": "hf_value"})
    assert run("echo $HF_TOKEN", secret)[1] == "hf_value\n"
    until(lambda: waiting(profile))
    process = waiting(profile)[0].process.pid
    for pid in (process, *children(process)):
        assert b"hf_value" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert run("echo ${HF_TOKEN-none}", profile)[1] == "none\n"


def children(process: int) -> list[int]:
    found = [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [*found, *(inner for pid in found for inner in children(pid))]


def test_many_commands_at_once(workspace: Path) -> None:
    profile = profile_of(workspace, network="list")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: run(f"echo {number}", profile), range(24)))
    assert results == [(0, f"{number}\n") for number in range(24)]


def test_a_waiting_sandbox_that_was_killed_is_not_used(workspace: Path) -> None:
    profile = profile_of(workspace)
    run("true", profile)
    until(lambda: waiting(profile))
    os.kill(waiting(profile)[0].process.pid, signal.SIGKILL)
    until(lambda: not waiting(profile))
    assert run("echo x", profile) == (0, "x\n")


def test_nothing_waits_after_the_process_was_killed(workspace: Path) -> None:
    code = (
        "import sys, time, pathlib; from tests.sandbox import test_spare as t\n"
        "t.run('true', t.profile_of(pathlib.Path(sys.argv[1]))); t.until(lambda: t.spare._waiting)\n"
        "print(t.spare._waiting[0].process.pid, flush=True); time.sleep(1000)"
    )
    argv = [sys.executable, "-c", code, str(workspace)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = int(process.stdout.readline())
            until(lambda: children(first))
            processes = [first, *children(first)]
        finally:
            process.kill()
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in processes))
