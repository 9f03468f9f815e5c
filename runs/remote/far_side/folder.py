"""The folder of a run: its lock, its status and the space for the last status."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO, Any

RESERVE_BYTES = 1 << 14
ORDER = "order.json"
"""The order of a run that waits for its job, with its secrets."""
CANCELLED = "cancelled"
"""A file that says that the user cancelled the job of a run."""


def run_folder(root: Path, run: str) -> Path:
    """Return the folder of a run."""
    return root / "runs" / run


def new_folder(root: Path, run: str) -> Path:
    """Create the folder of a run, with a file that reserves disk space for the final status."""
    folder = run_folder(root, run)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    reserve = folder / "reserve"
    if not reserve.exists():
        reserve.write_bytes(b"\0" * RESERVE_BYTES)
    return folder


def read_status(folder: Path) -> dict[str, Any]:
    """Return the last status that was written; {} without one."""
    try:
        status: dict[str, Any] = json.loads((folder / "status.json").read_text())
    except FileNotFoundError:
        return {}
    return status


def write_status(folder: Path, status: dict[str, Any]) -> None:
    """Replace the status. A final one takes the reserved space if the disk is full."""
    try:
        write_file(folder / "status.json", json.dumps(status))
    except OSError:
        if "finished" not in status:
            raise
        (folder / "reserve").unlink()
        write_file(folder / "status.json", json.dumps(status))


def write_file(path: Path, text: str) -> None:
    """Replace a file in one step."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def locked(folder: Path) -> IO[str] | None:
    """Return the lock file of a run, locked, or None if its supervisor has locked it."""
    lock = (folder / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def is_supervised(folder: Path) -> bool:
    """Return whether the supervisor of a run is running."""
    if not (folder / "lock").exists():
        return False
    lock = locked(folder)
    if lock is not None:
        lock.close()
    return lock is None


def boot_id() -> str:
    """Return what changes when the machine restarts; "" where that is unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
