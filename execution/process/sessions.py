"""Find and terminate the processes of a command: TERM first, KILL after a grace period."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ml_intern.execution.process.environment import CALL_MARK

GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0
_PROC = Path("/proc")


def members(session: int | None, mark: str | None = None) -> list[int]:
    """Return the running processes of a session and, with `mark`, those with the mark in their environment.

    `timeout` and `set -m` leave the process group, `setsid` leaves the session, but the environment stays. Without
    /proc, only the process group is known.
    """
    if not _PROC.is_dir():
        return [session] if session is not None and _group_exists(session) else []
    return [pid for pid in _pids() if _is_member(pid, session, mark)]


def _pids() -> Iterator[int]:
    own = str(os.getpid())
    return (int(name) for name in os.listdir(_PROC) if name.isdigit() and name != own)  # noqa: PTH208  names only


def _is_member(pid: int, session: int | None, mark: str | None) -> bool:
    """Return whether a process belongs to the session or has the mark.

    It runs for every process of the machine after every command, so a system call decides before a file is read.
    """
    try:
        found = os.getsid(pid) == session
    except OSError:  # it has ended, or belongs to another user
        return False
    return (found or _has_mark(pid, mark)) and _is_running(pid)


def _is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        state = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def _has_mark(pid: int, mark: str | None) -> bool:
    if mark is None:
        return False
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    values = [
        entry.partition(b"=")[2] for entry in environment.split(b"\0") if entry.startswith(CALL_MARK.encode() + b"=")
    ]
    return any(mark.encode() in value.split(b":") for value in values)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def end_processes(
    session: int | None, mark: str | None = None, grace: float = GRACE_SECONDS, *, spare: int | None = None
) -> int:
    """Terminate every process of the session: TERM, up to `grace` seconds, KILL. When cancelled, it kills at once.

    `spare` is a process that gets no TERM: the others die with it and would lose their grace period.

    Returns:
        The number of processes found.
    """
    cancelled = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(end_all, ProcessTarget(session, mark, spare), grace, cancelled.wait))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait({work})
        raise


@dataclass(frozen=True)
class ProcessTarget:
    """The processes to terminate, see `end_processes`."""

    session: int | None
    mark: str | None
    spare: int | None

    def members(self) -> list[int]:
        """Return those that run."""
        return members(self.session, self.mark)


def end_all(target: ProcessTarget, grace: float, pause: Callable[[float], bool]) -> int:
    """Terminate processes as `end_processes` does, but wait for them in this thread.

    `pause` waits for some seconds; it returns True if the processes are to be killed at once.
    """
    found = target.members()
    if not found:
        return 0
    _signal(
        target.session if target.spare is None else None, [pid for pid in found if pid != target.spare], signal.SIGTERM
    )
    if not _wait_until_gone(target, grace, pause):
        _kill(target)
    return len(found)


def _wait_until_gone(target: ProcessTarget, grace: float, pause: Callable[[float], bool]) -> bool:
    deadline = time.monotonic() + grace
    while target.members():
        if time.monotonic() > deadline or pause(_POLL_SECONDS):
            return False
    return True


def _kill(target: ProcessTarget) -> None:
    """Send KILL until none is left: a process can start others between the listing and the signal."""
    deadline = time.monotonic() + _KILL_SECONDS
    while (found := target.members()) and time.monotonic() < deadline:
        _signal(target.session, found, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _signal(session: int | None, pids: list[int], number: signal.Signals) -> None:
    if session is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, number)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
