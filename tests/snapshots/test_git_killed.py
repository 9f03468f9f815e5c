"""A git that is killed while it starts ends at once: nothing waits for it."""

import subprocess
import threading
import time
from pathlib import Path

import pytest

from ml_intern.snapshots.git import ShadowGit, SnapshotError


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20])
def test_closing_a_session_ends_a_git_that_is_just_starting(tmp_path: Path, delay_ms: int) -> None:
    git = ShadowGit(tmp_path / "shadow", tmp_path / "work", tmp_path / "shadow" / "index")
    git.root.mkdir()
    subprocess.run(["git", "init", "-q", str(git.root)], check=True)
    git.folder.mkdir()
    git.create("w", "")
    ended = threading.Event()

    def read() -> None:
        try:
            git.list_entries("ls-files", "-z", "--others", limit=10)
        except SnapshotError:
            pass
        finally:
            ended.set()

    threading.Thread(target=read, daemon=True).start()
    while not git.processes._running:
        time.sleep(0.0005)
    time.sleep(delay_ms / 1000)
    git.processes.kill_all()
    assert ended.wait(10)
