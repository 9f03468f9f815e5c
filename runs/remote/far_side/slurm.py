"""Runs as jobs of Slurm."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from ml_intern.runs.remote.far_side.delivery import prepare
from ml_intern.runs.remote.far_side.folder import ORDER, locked, read_status, write_file, write_status
from ml_intern.runs.remote.far_side.supervisor import LEFT_QUEUE, supervise

START_SECONDS = 30.0
POLL_SECONDS = 0.05
POLICY = "accounting/QOS policy"
HOURS = "; ask for less time or name another account or qos: this one has too few hours left or a smaller limit"
TURN = ("Priority", "Resources")
"""The reasons of jobs that wait for their turn."""
NEVER = "it will not start; cancel it, and"
NODES = f"{NEVER} ask for fewer nodes, less time or other GPUs: the partition has none that fit"
EXPLANATIONS = {
    **dict.fromkeys(("PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "BadConstraints"), NODES),
    **dict.fromkeys(("InvalidAccount", "InvalidQOS"), f"{NEVER} correct the account or qos in the settings"),
    **dict.fromkeys(("PartitionDown", "PartitionInactive"), "its administrator closed the partition"),
    **dict.fromkeys(("NodeDown", "ReqNodeNotAvail"), "its nodes are down or reserved"),
}
"""The meaning of reasons for which a job waits that do not pass by waiting for a turn."""
ENDS = {"TIMEOUT": "timeout", "CANCELLED": "cancelled"}
"""The state of a run by the state of a job that has left the queue without writing its end."""


def _slurm(*command: str) -> str:
    """Return the output of a command of Slurm. Raises OSError with its message."""
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise OSError(f"{command[0]} is not on the PATH of a login without terminal") from None
    if said.returncode:
        problem = " ".join(said.stderr.split())[-500:] or f"{command[0]} failed"
        raise OSError(problem + (HOURS if POLICY in problem else ""))
    return said.stdout.strip()


def submit(folder: Path, order: dict[str, Any]) -> None:
    """Submit a run as a job of Slurm, unless a job of that name exists. The job starts this file as its supervisor."""
    jobs = named_jobs(order["id"])
    write_order(folder, order)
    if not jobs:
        text = f'#!/bin/sh\nexec python3 "{order["far_side"]}" "{folder}"\n'
        try:
            jobs = [submit_script(folder / "job.sh", text, order, f"--output={folder}/slurm.txt")]
        except OSError:
            (folder / ORDER).unlink()
            raise
    record_job(folder, jobs[0])


def named_jobs(name: str) -> list[str]:
    """Return the numbers of the jobs in the queue with a name; of an array, those of its tasks, such as 12_0."""
    return _slurm("squeue", "--noheader", "--me", f"--name={name}", "--array", "--format=%i").split()


def write_order(folder: Path, order: dict[str, Any]) -> None:
    """Write the order of a run for its job."""
    write_file(folder / ORDER, json.dumps(order))


def submit_script(script: Path, text: str, order: dict[str, Any], *more: str) -> str:
    """Submit a script with the options of an order, and return the number of the job. Raises OSError."""
    script.write_text(text)
    again = "--requeue" if order["requeue"] else "--no-requeue"
    fixed = ("--parsable", again, "--open-mode=append", f"--job-name={order['id']}", *more)
    return _slurm("sbatch", *fixed, *order["sbatch"], str(script)).split(";")[0]


def record_job(folder: Path, job: str) -> None:
    """Record the job of a run, after which it may start, unless the run has a status."""
    if not read_status(folder):
        write_status(folder, {"state": "queued", "job": job, "submitted": time.time()})


def run_job(folder: Path) -> None:
    """Prepare and supervise the run of a job. The order, which may contain secrets, is deleted if it starts once."""
    deadline = time.monotonic() + START_SECONDS
    starts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    ready = ("queued", "running") if starts else ("queued",)  # running: its node failed
    while read_status(folder).get("state") not in ready or (lock := locked(folder)) is None:
        if "finished" in read_status(folder):
            (folder / ORDER).unlink(missing_ok=True)
            return
        if time.monotonic() > deadline:
            return
        time.sleep(POLL_SECONDS)
    order = json.loads((folder / ORDER).read_text())
    if not order["requeue"]:
        (folder / ORDER).unlink()
    if _is_prepared(folder, order):
        if starts:
            used = read_status(folder).get("used", 0.0)
            order.update(used=used, note=f"ml-intern: Slurm started it again ({starts})\n")
        supervise(folder, order, lock)
    if "finished" in read_status(folder):
        (folder / ORDER).unlink(missing_ok=True)


def _is_prepared(folder: Path, order: dict[str, Any]) -> bool:
    """Create the working folder on the first start of a run. Return whether it is there; if not, the run has failed."""
    if "cwd" in order:
        return True
    try:
        order["cwd"] = str(prepare(folder.parent.parent, folder, order))
        if order["requeue"]:
            write_order(folder, order)
    except OSError as error:
        ending = {"state": "failed", "exit_code": None, "reason": f"its files could not be copied: {error}"}
        write_status(folder, {**read_status(folder), **ending, "finished": time.time()})
        return False
    return True


def queue_state(root: Path, folder: Path, status: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the state of a job that has not written its end: from the queue, else from the accounting.

    The queue is asked at most once in `seconds`.
    """
    jobs = _queue(root, seconds)
    if status["job"] in jobs:
        word, reason, place, begins = jobs[status["job"]]
        if word == "PENDING":
            found = [f"{reason}{_explained(reason)}", f"place {place} in the queue" if place else ""]
            found += [f"starts about {begins}"] if begins else []
            return {**status, "state": "queued", "reason": f"waiting: {', '.join(filter(None, found))}"}
        return status
    if time.time() - max(status["submitted"], status.get("started", 0)) < 2 * seconds:
        return status
    if "finished" in (ended := read_status(folder)):
        return ended
    word = _job_state(status["job"])
    return {**status, "state": ENDS.get(word, "lost"), "reason": f"{LEFT_QUEUE}: {word}"}


def _explained(reason: str) -> str:
    """Explain a reason, such as that a budget of hours is used up: AssocGrpCPUMinutesLimit and others."""
    if "Minutes" in reason:
        return " (the account or qos has too few hours left)"
    known = EXPLANATIONS.get(reason.partition(",")[0])
    return f" ({known})" if known else ""


def cancel_job(status: dict[str, Any]) -> None:
    """Cancel a job that waits; let the supervisor of one that runs stop it. Raises OSError."""
    words = ["--batch", "--signal=TERM"] if status["state"] == "running" else []
    said = subprocess.run(["scancel", *words, status["job"]], capture_output=True, text=True, timeout=60, check=False)
    if said.stderr:  # without a message, it failed because the job is ending
        raise OSError(" ".join(said.stderr.split())[-500:])


def _job_state(job: str) -> str:
    """Return the state of an ended job; "unknown" where Slurm keeps no accounting."""
    try:
        return _slurm("sacct", "--noheader", "--allocations", f"--jobs={job}", "--format=State").split()[0]
    except (OSError, IndexError):
        return "unknown"


def _queue(root: Path, seconds: float) -> dict[str, list[str]]:
    """Return the user's jobs by id: state, reason, place in the queue, estimated start. At most `seconds` old."""
    kept = root / "squeue.json"
    known: dict[str, list[str]] = json.loads(kept.read_text()) if kept.exists() else {}
    if not kept.exists() or abs(time.time() - kept.stat().st_mtime) > seconds:
        known = _asked(everyone=any(word == "PENDING" for word, *_ in known.values()))
        write_file(kept, json.dumps(known))
    return known


def _asked(*, everyone: bool) -> dict[str, list[str]]:
    """Ask for the user's jobs. Only together with those of everyone, their places in the queue are known."""
    whose = () if everyone else ("--me",)
    said = _slurm("squeue", "--noheader", *whose, "--array", "--format=%i|%T|%r|%S|%U|%P|%Q")
    rows = [line.split("|") for line in said.splitlines() if line.count("|") == len("||||||")]
    places = _places(rows) if everyone else {}
    own = [row for row in rows if row[4] == str(os.getuid())]
    return {row[0]: [row[1], row[2], places.get(row[0], ""), "" if row[3] == "N/A" else row[3]] for row in own}


def _places(rows: list[list[str]]) -> dict[str, str]:
    """Return the places of the jobs that wait for their turn, by priority among those of the same partition."""
    found: dict[str, str] = {}
    ahead: dict[str, int] = {}
    for id, word, reason, _start, _user, partition, _priority in sorted(rows, key=lambda row: -int(row[6])):
        if word == "PENDING" and reason in TURN:
            ahead[partition] = ahead.get(partition, 0) + 1
            found[id] = str(ahead[partition])
    return found
