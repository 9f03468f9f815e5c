"""The folder of a run: its lock, its status file, its log. Only the standard library: the supervisor starts with it."""

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

LOG = "log.txt"
TRACKIO = "trackio"
"""The folder where trackio keeps what the run logs."""
STATUS = "status.json"
_LOCK = "lock"
_RESERVE = "reserve"
_RESERVE_BYTES = 1 << 14


def runs_home(home: Path) -> Path:
    """Where the folders of all runs are."""
    return home / "runs"


def run_folder(home: Path, id: str) -> Path:
    """The folder of one run, which also holds the log of a run that is elsewhere. It may not exist yet."""
    return runs_home(home) / id


def make_run_folder(home: Path, id: str) -> Path:
    """Make the folder of a run for its owner alone (0700)."""
    folder = run_folder(home, id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / TRACKIO).mkdir(exist_ok=True, mode=0o700)
    reserve = folder / _RESERVE  # so that the end can be written on a full disk
    if not reserve.exists():
        reserve.write_bytes(b"\0" * _RESERVE_BYTES)
    return folder


def free_space(folder: Path) -> None:
    """Give back what was kept for the end of the run."""
    (folder / _RESERVE).unlink(missing_ok=True)


def lock_file(folder: Path) -> TextIO:
    """The file whose lock the supervisor holds as long as it lives; children do not inherit it."""
    return (folder / _LOCK).open("a")


def is_supervised(folder: Path) -> bool:
    """Whether a supervisor lives."""
    if not (folder / _LOCK).exists():
        return False
    with lock_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def bury(folder: Path, status: Mapping[str, Any]) -> bool:
    """Write this as the status of a run that never started, so that it never does; False when one started."""
    if not folder.exists():
        return True
    with lock_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if read_status(folder):
            return False
        write_status(folder, status)
    return True


def read_status(folder: Path) -> dict[str, Any]:
    """What the supervisor wrote last; empty when none ever began."""
    with contextlib.suppress(FileNotFoundError):
        status: dict[str, Any] = json.loads((folder / STATUS).read_text())
        return status
    return {}


def write_status(folder: Path, status: Mapping[str, Any]) -> None:
    """Replace the status file in one step."""
    fresh = folder / f"{STATUS}.new"
    with fresh.open("w") as file:
        json.dump(dict(status), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / STATUS)
