"""The operations on runs."""

from __future__ import annotations

import base64
import math
import os
import signal
import time
import zlib
from pathlib import Path
from typing import Any

from ml_intern.runs.remote.far_side import slots
from ml_intern.runs.remote.far_side.delivery import digest_of, prepare
from ml_intern.runs.remote.far_side.folder import (
    CANCELLED,
    ORDER,
    boot_id,
    is_supervised,
    locked,
    new_folder,
    read_status,
    run_folder,
    write_status,
)
from ml_intern.runs.remote.far_side.machine import usage_line
from ml_intern.runs.remote.far_side.slurm import cancel_job, queue_state, submit
from ml_intern.runs.remote.far_side.supervisor import GRACE_SECONDS, POLL_SECONDS, USAGE, detach, end_marked

START_SECONDS = 30.0
LOG_BYTES = 1 << 22
DIGEST_BYTES = 4 << 30
"""How much is read for digests at once. The other side waits a minute for an answer."""
RESTARTED, KILLED = "the machine restarted", "its supervisor was killed"


def start(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Start a run under a supervisor of its own. A second start of the same run does nothing."""
    folder = new_folder(root, order["id"])
    lock = locked(folder)
    if lock is not None:
        if not read_status(folder):
            if order["sbatch"] is None:
                order["cwd"] = str(prepare(root, folder, order))
                detach(folder, order, lock)
            else:
                submit(folder, order)
        lock.close()
    deadline = time.monotonic() + START_SECONDS
    while not read_status(folder):
        if time.monotonic() > deadline:
            raise OSError("the supervisor of the run did not start")
        time.sleep(POLL_SECONDS)
    return state(folder)


def state(folder: Path) -> dict[str, Any]:
    """Return the status of a run, its age by this machine's clock, and the size of its log."""
    supervised = is_supervised(folder)  # checked first, because the status is written last
    status = read_status(folder)
    if "finished" not in status and status.get("pid") and not supervised and "job" not in status:
        restarted = status.get("boot") != boot_id()
        if not restarted:
            end_marked(folder.name)
        status.update(state="lost", reason=RESTARTED if restarted else KILLED)
    log, now = folder / "log.txt", time.time()
    status["log"] = log.stat().st_size if log.exists() else 0
    status["age"] = now - status["started"] if "started" in status else None
    return status


def states(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return the states of runs by id; None for a run that never started here."""
    found = {run: state(run_folder(root, run)) for run in order["ids"] if read_status(run_folder(root, run))}
    for run, status in found.items():
        if "job" in status and "finished" not in status:
            found[run] = queue_state(root, run_folder(root, run), status, order["squeue_s"])
    return {"runs": {run: found.get(run) for run in order["ids"]}}


def log(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a log, compressed, as base64."""
    path = run_folder(root, order["id"]) / "log.txt"
    if not path.exists():
        return {"text": ""}
    with path.open("rb") as file:
        file.seek(order["offset"])
        return {"text": base64.b64encode(zlib.compress(file.read(LOG_BYTES), 1)).decode()}


def usage(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return the use of the machine that a run is on: of the node of a job as its supervisor last wrote it."""
    folder = run_folder(root, order.get("id", ""))
    if "job" not in read_status(folder):
        return {"usage": usage_line()}
    return {"usage": (folder / USAGE).read_text() if (folder / USAGE).exists() else ""}


def cancel(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Stop a run and return its state. A run that has ended stays as it is."""
    folder = run_folder(root, order["id"])
    status = read_status(folder)
    if "finished" in status or not status:
        return status
    if "job" in status:
        (folder / CANCELLED).touch()
        cancel_job(status)
    elif is_supervised(folder):
        if status["boot"] != boot_id():
            where = status.get("host", "another machine with this folder")
            raise OSError(f"it runs on {where}, not on {os.uname().nodename}: name that machine as the host")
        os.kill(status["pid"], signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS + 5
    while is_supervised(folder) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if status["state"] == "queued" and read_status(folder).get("state") == "queued":
        write_status(folder, {**status, "state": "cancelled", "reason": "it was stopped", "finished": time.time()})
        (folder / ORDER).unlink(missing_ok=True)
    return state(folder)


def withdraw(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Take a run out of the queue, and return whether it will never start here."""
    return {"withdrawn": slots.withdraw(root, order["id"])}


def abandon(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Prevent a run from starting, and return whether it never will."""
    folder = new_folder(root, order["id"])
    lock = locked(folder)
    if lock is None:
        return {"abandoned": False}
    with lock:
        if read_status(folder):
            return {"abandoned": False}
        write_status(folder, {"state": "lost", "reason": "it was never started", "finished": time.time()})
    return {"abandoned": True}


def outputs(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return the folder of a run, and its files that match the patterns or that it wrote: path, size and SHA-256."""
    folder = run_folder(root, order["id"])
    work, since = folder / "work", read_status(folder).get("started", math.inf) if order.get("written") else 0.0
    found = {path for pattern in order["patterns"] for path in work.glob(pattern)}
    files = sorted(path for path in found if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since)
    digests = _digests(files)
    found_files = [[str(path.relative_to(work)), path.stat().st_size, digests[path]] for path in files]
    return {"folder": str(work.resolve()), "files": found_files}


def _digests(files: list[Path]) -> dict[Path, str]:
    """Return the digests of files by path, small ones first; "" for those beyond DIGEST_BYTES."""
    left, found = DIGEST_BYTES, {}
    for path in sorted(files, key=lambda one: one.stat().st_size):
        left -= path.stat().st_size
        found[path] = digest_of(path) if left >= 0 else ""
    return found


def content(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a file of a run as base64."""
    work = (run_folder(root, order["id"]) / "work").resolve()
    path = (work / order["path"]).resolve()
    if work not in path.parents:
        raise OSError(f"{order['path']} is not a file of the run")
    with path.open("rb") as file:
        file.seek(order["offset"])
        return {"text": base64.b64encode(file.read(order["bytes"])).decode()}
