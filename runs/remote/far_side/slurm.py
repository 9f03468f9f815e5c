"""Runs as jobs of Slurm."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from ml_intern.runs.remote.far_side.folder import locked, read_status, write_file, write_status
from ml_intern.runs.remote.far_side.supervisor import LEFT_QUEUE, supervise

START_SECONDS = 30.0
POLL_SECONDS = 0.05
POLICY = "accounting/QOS policy"
HOURS = "; ask for less time or name another account or qos: this one has too few hours left or a smaller limit"
ENDS = {"TIMEOUT": "timeout", "CANCELLED": "cancelled"}
"""The state of a run by the state of a job that has left the queue without writing its end."""


def _slurm(*command: str) -> str:
    """Return the output of a command of Slurm. Raises OSError with its message."""
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if said.returncode:
        problem = " ".join(said.stderr.split())[-500:] or f"{command[0]} failed"
        raise OSError(problem + (HOURS if POLICY in problem else ""))
    return said.stdout.strip()


def submit(folder: Path, order: dict[str, Any]) -> None:
    """Submit a run as a job of Slurm, unless a job of that name exists. The job starts this file as its supervisor."""
    job = _slurm("squeue", "--noheader", "--me", f"--name={order['id']}", "--format=%i").split("\n")[0]
    if not job:
        write_file(folder / "order.json", json.dumps(order))
        (folder / "job.sh").write_text(f'#!/bin/sh\nexec python3 "{order["far_side"]}" "{folder}"\n')
        again = "--requeue" if order.get("requeue") else "--no-requeue"
        fixed = ("--parsable", again, "--open-mode=append", f"--job-name={order['id']}", f"--output={folder}/slurm.txt")
        job = _slurm("sbatch", *fixed, *order["sbatch"], str(folder / "job.sh")).split(";")[0]
    if not read_status(folder):
        write_status(folder, {"state": "queued", "job": job, "submitted": time.time()})


def run_job(folder: Path) -> None:
    """Supervise the run of a job. The order, which may contain secrets, is deleted before a run that starts once."""
    deadline = time.monotonic() + START_SECONDS
    starts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    ready = ("queued", "running") if starts else ("queued",)  # running: its node failed
    while read_status(folder).get("state") not in ready or (lock := locked(folder)) is None:
        if time.monotonic() > deadline or "finished" in read_status(folder):
            return
        time.sleep(POLL_SECONDS)
    order = json.loads((folder / "order.json").read_text())
    if starts:
        order.update(used=read_status(folder).get("used", 0.0), note=f"ml-intern: Slurm started it again ({starts})\n")
    if not order.get("requeue"):
        (folder / "order.json").unlink()
    supervise(folder, order, lock)
    if "finished" in read_status(folder):
        (folder / "order.json").unlink(missing_ok=True)


def queue_state(root: Path, folder: Path, status: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the state of a job that has not written its end: from the queue, else from the accounting.

    The queue is asked at most once in `seconds`.
    """
    jobs = _queue(root, seconds)
    if status["job"] in jobs:
        word, reason, begins = jobs[status["job"]]
        if word == "PENDING":
            when = "" if begins == "N/A" else f", starts about {begins}"
            return {**status, "state": "queued", "reason": f"waiting: {reason}{_hours(reason)}{when}"}
        return status
    if time.time() - max(status["submitted"], status.get("started", 0)) < 2 * seconds:
        return status
    if "finished" in (ended := read_status(folder)):
        return ended
    word = _job_state(status["job"])
    return {**status, "state": ENDS.get(word, "lost"), "reason": f"{LEFT_QUEUE}: {word}"}


def _hours(reason: str) -> str:
    """Explain a reason by which Slurm says that a budget of hours is used up: AssocGrpCPUMinutesLimit and others."""
    return " (the account or qos has too few hours left)" if "Minutes" in reason else ""


def cancel_job(status: dict[str, Any]) -> None:
    """Cancel a job that waits; let the supervisor of one that runs stop it."""
    _slurm("scancel", *(["--batch", "--signal=TERM"] if status["state"] == "running" else []), status["job"])


def _job_state(job: str) -> str:
    """Return the state of an ended job; "unknown" where Slurm keeps no accounting."""
    try:
        return _slurm("sacct", "--noheader", "--allocations", f"--jobs={job}", "--format=State").split()[0]
    except (OSError, IndexError):
        return "unknown"


def _queue(root: Path, seconds: float) -> dict[str, list[str]]:
    """Return the user's jobs by id with state, reason and estimated start, at most `seconds` old."""
    kept = root / "squeue.txt"
    if not kept.exists() or abs(time.time() - kept.stat().st_mtime) > seconds:
        write_file(kept, _slurm("squeue", "--noheader", "--me", "--format=%i|%T|%r|%S"))
    rows = [line.split("|") for line in kept.read_text().splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 4}
