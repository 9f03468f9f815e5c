"""Watch which files below some folders are opened and written, from outside the processes, with Linux inotify.

The kernel does not report who opened a file. A folder that was not watched is named in `missed`.
"""

import ctypes
import os
import select
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ml_intern.sandbox.syscalls import check_result, libc

MAX_FOLDERS: Final = 400
"""Most folders that are watched, the upper ones first."""
MAX_PATHS: Final = 2_000
"""Most files that are reported of each kind."""
SKIPPED: Final = frozenset({".git", "__pycache__", "site-packages", "dist-packages", "node_modules", ".venv"})
_OF_ENVIRONMENTS: Final = "pyvenv.cfg"
"""Every Python reads it at its start: it belongs to the interpreter, not to the data."""
_OPEN, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x20, 0x8, 0x80, 0x100
_ONLY_FOLDERS, _OVERFLOW, _IS_FOLDER = 0x01000000, 0x4000, 0x40000000
_MASK = _OPEN | _CLOSE_WRITE | _MOVED_TO | _CREATE | _ONLY_FOLDERS
_USED = _OPEN | _CLOSE_WRITE | _MOVED_TO
_EVENT = struct.Struct("iIII")
_BUFFER = 32 * 1024
_COLLECTED_MS: Final = 10
"""How long events are collected before they are read. The kernel's queue has room for 16,384."""


@dataclass(frozen=True)
class FilesUsed:
    """The files that were opened and written. `missed` says why the lists may be incomplete, or ""."""

    opened: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    missed: str = ""


class FileWatch:
    """Watches folders from its creation until `close`. It never fails: what it cannot watch is in `missed`."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._folders: dict[int, str] = {}
        self._opened: dict[str, None] = {}
        self._written: dict[str, None] = {}
        self._missed = "" if sys.platform == "linux" else "files are not watched on this system"
        self._queue = self._stop = -1
        self._read = threading.Event()
        """Set when all events up to the end have been read."""
        self._thread = threading.Thread(target=self._serve, name="file watch", daemon=True)
        if not self._missed:
            self._start(roots)

    def _start(self, roots: Sequence[Path]) -> None:
        try:
            self._queue = check_result(int(libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)))
            self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        except OSError as error:
            self._missed = f"files are not watched: {error.strerror}"
            if self._queue >= 0:
                os.close(self._queue)
            self._queue = -1
            return
        for folder in _folders(roots):
            self._add(folder)
        self._thread.start()

    def _add(self, folder: str) -> None:
        if len(self._folders) >= MAX_FOLDERS:
            self._missed = self._missed or f"more than {MAX_FOLDERS} folders"
            return
        number = int(libc().inotify_add_watch(self._queue, ctypes.c_char_p(os.fsencode(folder)), ctypes.c_uint(_MASK)))
        if number >= 0:
            self._folders[number] = folder
        else:
            self._missed = self._missed or f"{folder} is not watched: {os.strerror(ctypes.get_errno())}"

    @property
    def closed(self) -> bool:
        """Whether nothing is watched any more."""
        return self._queue < 0

    def close(self) -> FilesUsed:
        """Stop watching and return what was seen."""
        if not self.closed:
            os.eventfd_write(self._stop, 1)
            self._read.wait()
        self._queue = self._stop = -1
        return FilesUsed(tuple(self._opened), tuple(self._written), self._missed)

    def _serve(self) -> None:
        queue, stop = self._queue, self._stop
        try:
            self._read_all(queue, stop)
        finally:
            self._read.set()
            os.close(queue)  # the kernel takes some milliseconds to forget the folders; nothing waits for it
            os.close(stop)

    def _read_all(self, queue: int, stop: int) -> None:
        poll = select.poll()
        poll.register(queue, select.POLLIN)
        poll.register(stop, select.POLLIN)
        stopped = select.poll()
        stopped.register(stop, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if stop not in ready:  # collect events, since each wake-up costs more than an event
                ready |= dict(stopped.poll(_COLLECTED_MS))
            while self._take(queue):
                pass
            if stop in ready:
                return

    def _take(self, queue: int) -> bool:
        """Handle the waiting events and return whether there were any."""
        try:
            data = os.read(queue, _BUFFER)
        except BlockingIOError:
            return False
        place = 0
        while place < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, place)
            place += _EVENT.size + length
            if mask & _OVERFLOW:
                self._missed = self._missed or "too many files were opened at once"
            elif length and (mask & _IS_FOLDER or mask & _USED) and number in self._folders:
                self._note(number, mask, os.fsdecode(data[place - length : place].rstrip(b"\0")))
        return True

    def _note(self, number: int, mask: int, name: str) -> None:
        path = f"{self._folders[number]}/{name}"
        if mask & _IS_FOLDER:
            if mask & (_CREATE | _MOVED_TO) and name not in SKIPPED:
                self._add_new(path)
        elif name != _OF_ENVIRONMENTS:
            self._keep(self._opened if mask & _OPEN else self._written, path)

    def _add_new(self, folder: str) -> None:
        """Watch a new folder, and note the files that were made in it before it was watched."""
        for one in _folders([Path(folder)]):
            self._add(one)
            with os.scandir(one) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        self._keep(self._written, entry.path)

    def _keep(self, found: dict[str, None], path: str) -> None:
        if len(found) < MAX_PATHS or path in found:
            found[path] = None
        else:
            self._missed = self._missed or f"more than {MAX_PATHS} files"


def _folders(roots: Sequence[Path]) -> Iterator[str]:
    """Yield folders and those below them, level by level, at most one more than can be watched."""
    waiting = [str(root) for root in roots]
    for seen, folder in enumerate(waiting):
        yield folder
        if seen >= MAX_FOLDERS:
            return
        try:
            with os.scandir(folder) as entries:
                waiting += [
                    one.path for one in entries if one.name not in SKIPPED and one.is_dir(follow_symlinks=False)
                ]
        except OSError:
            continue  # it was removed, or it cannot be read
