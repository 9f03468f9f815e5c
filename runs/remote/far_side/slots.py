"""The slots of a machine, which limit how many runs it executes at once. The others wait in their order."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ml_intern.runs.remote.far_side.folder import is_supervised, run_folder

WAITING = "waiting for a free slot"
WITHDRAWN = "withdrawn from the queue"


class Queue:
    """The place of one run in the queue of a machine. `number` is how many runs may run at once."""

    def __init__(self, root: Path, run: str, number: int) -> None:
        self._root, self._number = root, number
        self._ticket = _tickets(root) / f"{time.time_ns():020}-{run}"

    def enter(self) -> None:
        """Take the last place in the queue."""
        self._ticket.touch()

    def slot(self, is_stopping: Callable[[], bool]) -> IO[str] | None:
        """Wait for a slot and return its lock. None when the run was stopped, or withdrawn from the queue.

        `is_stopping` returns whether the run was stopped; it pauses before it returns False.
        """
        while not is_stopping():
            if not self._ticket.exists():
                return None
            if self._is_next() and (lock := self._free()) is not None:
                if _removed(self._ticket):
                    return lock
                lock.close()
        _removed(self._ticket)
        return None

    def _is_next(self) -> bool:
        """Return whether fewer runs than slots wait before this one. Those whose supervisor ended do not count."""
        before = [one for one in sorted(self._ticket.parent.iterdir()) if one.name < self._ticket.name]
        return sum(_is_alive(self._root, one) for one in before) < self._number

    def _free(self) -> IO[str] | None:
        folder = self._root / "slots"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for place in range(self._number):
            lock = (folder / str(place)).open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            return lock
        return None


def withdraw(root: Path, run: str) -> bool:
    """Take a run out of the queue. Return False when it does not wait there: it has started, or never came."""
    return any(_removed(ticket) for ticket in _tickets(root).glob(f"*-{run}"))


def _tickets(root: Path) -> Path:
    folder = root / "waiting"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _removed(ticket: Path) -> bool:
    """Delete a ticket. Exactly one of several callers gets True."""
    try:
        ticket.unlink()
    except FileNotFoundError:
        return False
    return True


def _is_alive(root: Path, ticket: Path) -> bool:
    if is_supervised(run_folder(root, ticket.name.partition("-")[2])):
        return True
    _removed(ticket)
    return False
