"""Runs of one sweep as the tasks of a Slurm job array."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Any

from ml_intern.runs.remote.far_side.folder import ORDER, locked, new_folder, read_status, run_folder
from ml_intern.runs.remote.far_side.slurm import POLL_SECONDS, named_jobs, record_job, submit_script, write_order

SCRIPT = """#!/bin/sh
set -- {runs}
shift "$SLURM_ARRAY_TASK_ID"
exec python3 "{far_side}" "{folder}/$1"
"""


def start_array(root: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Submit runs as the tasks of one job array, without those that were submitted before, and return how many.

    `sweep` has the ids of all runs of the sweep; the first one names the array. `runs` has the orders of those to
    start, without the fields in `common`. `at_once` limits how many run at the same time; 0: any number.
    """
    sweep, folder = order["sweep"], root / "arrays" / order["sweep"][0]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _waited(folder):
        runs = {str(sweep.index(one["id"])): {**order["common"], **one} for one in order["runs"]}
        new = {task: one for task, one in runs.items() if not read_status(new_folder(root, one["id"]))}
        jobs = {job.partition("_")[2]: job for job in named_jobs(sweep[0])}
        for one in new.values():
            write_order(run_folder(root, one["id"]), one)
        absent = [task for task in new if task not in jobs]
        if absent:
            array = _submitted(root, folder, order, absent)
            jobs.update({task: f"{array}_{task}" for task in absent})
        for task, one in new.items():
            _record(run_folder(root, one["id"]), jobs[task])
    return {"submitted": len(absent)}


def _waited(folder: Path) -> IO[str]:
    """Wait for another start of an array, and return its lock."""
    while True:
        lock = locked(folder)
        if lock is not None:
            return lock
        time.sleep(POLL_SECONDS)


def _record(folder: Path, job: str) -> None:
    """Record the task of a run, unless it is being abandoned."""
    lock = locked(folder)
    if lock is not None:
        with lock:
            record_job(folder, job)


def _submitted(root: Path, folder: Path, order: dict[str, Any], tasks: list[str]) -> str:
    """Submit the tasks and return the number of their array. Raises OSError, and leaves no orders then."""
    sweep, limit = order["sweep"], f"%{order['at_once']}" if order["at_once"] else ""
    text = SCRIPT.format(runs=" ".join(sweep), far_side=order["far_side"], folder=root / "runs")
    words = (f"--array={','.join(tasks)}{limit}", f"--output={folder}/slurm-%a.txt")
    try:
        return submit_script(folder / "job.sh", text, {**order["common"], "id": sweep[0]}, *words)
    except OSError:
        for task in tasks:
            (run_folder(root, sweep[int(task)]) / ORDER).unlink()
        raise
