"""The folder of a run: its lock, status file and log. Imports only the standard library, for the supervisor."""

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

LOG = "log.txt"
TRACKIO = "trackio"
"""The folder for the run's trackio databases."""
STATUS = "status.json"
_LOCK = "lock"
_RESERVE = "reserve"
_RESERVE_BYTES = 1 << 14


def runs_home(home: Path) -> Path:
    """Return the parent folder of all run folders."""
    return home / "runs"


def run_folder(home: Path, id: str) -> Path:
    """Return the folder of a run, which also contains the log of a remote run. It may not exist yet."""
    return runs_home(home) / id


def make_run_folder(home: Path, id: str) -> Path:
    """Create the folder of a run, accessible to its owner only (0700)."""
    folder = run_folder(home, id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / TRACKIO).mkdir(exist_ok=True, mode=0o700)
    reserve = folder / _RESERVE  # so that the final status can be written on a full disk
    if not reserve.exists():
        reserve.write_bytes(b"\0" * _RESERVE_BYTES)
    return folder


def free_space(folder: Path) -> None:
    """Delete the file that reserves disk space for the final status."""
    (folder / _RESERVE).unlink(missing_ok=True)


def lock_file(folder: Path) -> TextIO:
    """Open the file whose lock the supervisor holds while it runs. Child processes do not inherit the lock."""
    return (folder / _LOCK).open("a")


def is_supervised(folder: Path) -> bool:
    """Whether the run's supervisor is running."""
    if not (folder / _LOCK).exists():
        return False
    with lock_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def mark_never_started(folder: Path, status: Mapping[str, Any]) -> bool:
    """Write the final status of a run that has not started, so that it never starts. Return False when it started."""
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
    """Return the last status the supervisor wrote; {} when none has started."""
    with contextlib.suppress(FileNotFoundError):
        status: dict[str, Any] = json.loads((folder / STATUS).read_text())
        return status
    return {}


def write_status(folder: Path, status: Mapping[str, Any]) -> None:
    """Replace the status file atomically."""
    fresh = folder / f"{STATUS}.new"
    with fresh.open("w") as file:
        json.dump(dict(status), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / STATUS)
