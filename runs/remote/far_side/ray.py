"""Runs and operations as jobs of Ray, which unpacks their files into the working folder and reads their output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ml_intern.runs.remote.far_side.delivery import prepare
from ml_intern.runs.remote.far_side.folder import locked, new_folder, read_status, write_status
from ml_intern.runs.remote.far_side.supervisor import end_marked, supervise

TIMEOUT_CODE = 124
STOPPED_CODE = 143
ORDER = "order.json"
FAR_SIDE = "far.pyz"


def run_ray_job(root: Path) -> int:
    """Execute the run of the working folder's order, and return its exit code."""
    order: dict[str, Any] = json.loads(Path(ORDER).read_text())
    os.umask(0o077)
    folder = new_folder(root, order["id"])
    lock = locked(folder)
    if lock is None or read_status(folder):
        print("ml-intern: this run was started before and does not start again", flush=True)
        return 1
    order["cwd"] = str(prepare(Path(), folder, order))
    (folder / "log.txt").symlink_to("/dev/stdout")
    write_status(folder, {"state": "queued"})
    watched = _watch(folder)
    supervise(folder, order, lock)
    os.close(watched)
    return _exit_code(read_status(folder))


def _exit_code(status: dict[str, Any]) -> int:
    """Return the exit code that shows how a run ended, and print the reason."""
    if status.get("reason"):
        print(f"ml-intern: {status['reason']}", flush=True)
    special = {"timeout": TIMEOUT_CODE, "cancelled": STOPPED_CODE}.get(status["state"])
    code: int | None = status.get("exit_code")
    if special is not None or code is None:
        return special or 1
    return code if code >= 0 else 128 - code


def _watch(folder: Path) -> int:
    """Start a process that ends the run when this one was killed. Return a descriptor to close at the end."""
    reading, writing = os.pipe()
    code = (  # not a child of this process, which ends its children with the run
        "import os, sys\nif os.fork(): os._exit(0)\nsys.path.insert(0, sys.argv[1])\n"
        f"from {__name__} import wait_for_end\nwait_for_end(*sys.argv[2:])"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(Path(FAR_SIDE).resolve()), str(reading), str(folder)],
        pass_fds=[reading],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    os.close(reading)
    return writing


def wait_for_end(reading: str, folder: str) -> None:
    """Wait until the supervisor has ended; if it was killed, end what it leaves."""
    os.read(int(reading), 1)
    if "finished" not in read_status(Path(folder)):
        end_marked(Path(folder).name)
