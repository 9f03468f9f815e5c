"""The parent process of a run: it enforces the time limit and writes how the run ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

from ml_intern.runs.remote.far_side.folder import CANCELLED, boot_id, read_status, write_file, write_status
from ml_intern.runs.remote.far_side.machine import usage_line
from ml_intern.runs.remote.far_side.slots import WAITING, WITHDRAWN, Queue

HEARTBEAT_SECONDS = 10.0
TERM_SECONDS = 1.0
USAGE = "usage.txt"
LEFT_QUEUE = "its job left the queue"
STOPPED = f"{LEFT_QUEUE}: Slurm stopped it (preempted, cancelled there, or its node was shut down)"
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.05
PR_SET_CHILD_SUBREAPER = 36
QUEUE_SECONDS = 0.2
LOGIN = ("SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY")
"""Variables by which bash takes a command for a login and reads .bashrc again, which may print."""
DISK_FULL = "the disk of the machine is full"
MIN_FREE = 10_000_000
"""Bytes below which a disk counts as full: the command may have failed for that."""
MARK = "ML_INTERN_CALL"
"""The variable by which the processes of a run are found when its supervisor was killed."""


def detach(folder: Path, order: dict[str, Any], lock: IO[str]) -> None:
    """Fork the supervisor, which holds the lock, and return."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if not os.fork():
            nothing = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(nothing, number)
            supervise(folder, order, lock)
    finally:
        os._exit(0)


class Supervisor:
    """Runs the command of one order and writes how it ended."""

    def __init__(self, folder: Path, order: dict[str, Any]) -> None:
        self.folder, self.order = folder, order
        self.is_stopping = False

    def stop(self, *_: object) -> None:
        """Stop the command soon."""
        self.is_stopping = True

    def run_in_turn(self, known: dict[str, Any]) -> None:
        """Run the command when one of the machine's slots is free."""
        if not self.order.get("slots"):
            self.run(known)
            return
        queue = Queue(self.folder.parent.parent, self.folder.name, self.order["slots"])
        queue.enter()
        waiting = {**known, "pid": os.getpid(), "boot": boot_id()}
        write_status(self.folder, {**waiting, "state": "queued", "reason": WAITING})
        slot = queue.slot(self.pause)
        if slot is not None:
            with slot:
                self.run(known)
            return
        reason = "it was stopped before it started" if self.is_stopping else WITHDRAWN
        write_status(self.folder, {**waiting, "state": "cancelled", "reason": reason, "finished": time.time()})

    def pause(self) -> bool:
        """Return whether the run was stopped. Pause before False."""
        if not self.is_stopping:
            time.sleep(QUEUE_SECONDS)
        return self.is_stopping

    def run(self, known: dict[str, Any]) -> None:
        """Run the command, with the status before and after."""
        began = {**known, "pid": os.getpid(), "started": time.time(), "boot": boot_id(), "host": os.uname().nodename}
        clock = time.monotonic()
        write_status(self.folder, {**began, "state": "running"})
        try:
            ending = self.command(clock)
        except OSError as error:
            ending = {"state": "failed", "exit_code": None, "reason": f"it could not run: {error}"}
        seconds = known.get("used", 0.0) + time.monotonic() - clock
        if ending["state"] == "queued":  # Slurm starts it again
            write_status(self.folder, {**known, **ending, "used": seconds})
            return
        write_status(self.folder, {**began, **ending, "seconds": seconds, "finished": time.time()})

    def command(self, clock: float) -> dict[str, Any]:
        """Run the command and return how it ended."""
        own = [str(Path("~/.local/bin").expanduser()), str(Path("~/.cargo/bin").expanduser())]
        environment = {**os.environ, "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), *own])}
        for name in LOGIN:
            environment.pop(name, None)
        environment.update(wheels_environment(self.order.get("wheels", "")))
        environment.update(self.order["environment"])
        environment[MARK] = self.folder.name
        with (self.folder / "log.txt").open("ab", buffering=0) as log:
            log.write(self.order["note"].encode())
            child = subprocess.Popen(
                self.order["argv"],
                cwd=self.order["cwd"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            reason = self.wait(child, clock + self.order["limit_s"] - self.order.get("used", 0.0))
        finally:
            end_processes(child)
        code = child.returncode
        if reason == "limit":
            text = f"it reached its time limit of {self.order['limit_s']:g} s"
            return {"state": "timeout", "exit_code": code, "reason": text}
        if reason == "stop":
            return self.stopped()
        return {"state": "failed" if code else "succeeded", "exit_code": code, "reason": self.disk() if code else ""}

    def stopped(self) -> dict[str, Any]:
        """Return how a stopped run ended: by its user, or by Slurm, which may start it again."""
        if self.order.get("sbatch") is None or (self.folder / CANCELLED).exists():
            return {"state": "cancelled", "exit_code": None, "reason": "it was stopped"}
        if self.order.get("requeue"):
            return {"state": "queued", "exit_code": None, "reason": "Slurm stopped it and starts it again"}
        return {"state": "lost", "exit_code": None, "reason": STOPPED}

    def disk(self) -> str:
        """Return that the disk of the run is full, or ""."""
        return DISK_FULL if shutil.disk_usage(self.folder).free < MIN_FREE else ""

    def wait(self, child: subprocess.Popen[bytes], deadline: float) -> str:
        """Wait for the end of the command, its time limit or a signal, and return which of them came first."""
        beat, pause = 0.0, 0.01
        while child.poll() is None:
            now = time.monotonic()
            if self.is_stopping:
                return "stop"
            if now > deadline:
                return "limit"
            if now - beat > HEARTBEAT_SECONDS:
                self.heartbeat()
                beat = now
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        return "stop" if self.is_stopping or self.is_ending_with(child) else "end"

    def heartbeat(self) -> None:
        """Show that the run is supervised, and for Slurm, whose login node cannot ask, the use of the node."""
        with contextlib.suppress(OSError):  # a disk that is full for a moment must not end the run
            os.utime(self.folder / "lock")
            if self.order.get("sbatch") is not None:
                write_file(self.folder / USAGE, usage_line())

    def is_ending_with(self, child: subprocess.Popen[bytes]) -> bool:
        """Return whether Slurm ends the job: SIGTERM comes to the command and, a moment later, to this process."""
        if self.order.get("sbatch") is None or not child.returncode:
            return False
        deadline = time.monotonic() + TERM_SECONDS
        while not self.is_stopping and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return self.is_stopping


def wheels_environment(wheels: str) -> dict[str, str]:
    """Return the variables by which uv and pip install from a folder alone. Raises OSError without the folder."""
    if not wheels:
        return {}
    folder = Path(wheels).expanduser()
    if not folder.is_dir():
        raise OSError(f"the folder of wheels {folder} is not there")
    place = str(folder)
    return {"UV_OFFLINE": "1", "UV_FIND_LINKS": place, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": place}


def supervise(folder: Path, order: dict[str, Any], lock: IO[str]) -> None:
    """Supervise a run until it ends. `lock` stays locked until then."""
    supervisor = Supervisor(folder, order)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, supervisor.stop)
    if sys.platform.startswith("linux"):  # what the run leaves behind becomes a child of this process
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    supervisor.run_in_turn(read_status(folder))
    lock.close()


def end_processes(child: subprocess.Popen[bytes]) -> None:
    """End every process that a command started, also those that left its group."""
    number, deadline = signal.SIGTERM, time.monotonic() + GRACE_SECONDS
    while left := _left(child):
        for pid in left:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        time.sleep(POLL_SECONDS)


def end_marked(run: str) -> None:
    """Kill every process of a run whose supervisor was killed."""
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := _marked(run)) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(POLL_SECONDS)


def _marked(run: str) -> list[int]:
    mark, found = f"{MARK}={run}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or belongs to another user
    return [pid for pid in found if _fields(pid)[:1] not in ([], ["Z"])]


def _left(child: subprocess.Popen[bytes]) -> list[int]:
    child.poll()
    for pid in _children(os.getpid()):
        if pid != child.pid:
            os.waitpid(pid, os.WNOHANG)
    found, waiting = [], [os.getpid()]
    while waiting:
        below = _children(waiting.pop())
        found += below
        waiting += below
    return [pid for pid in found if _fields(pid)[:1] not in ([], ["Z"])]


def _children(parent: int) -> list[int]:
    everyone = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in everyone if _fields(pid)[1:2] == [str(parent)]]


def _fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; [] if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
