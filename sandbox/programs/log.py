"""Record the programs that a sandboxed command starts, read from outside while each execve() is suspended.

What is recorded is what the kernel was asked for. A process with several threads could change its memory between
the moment it is read and the moment the kernel reads it.
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ml_intern.sandbox.syscalls import open_in_root

MAX_PROGRAMS: Final = 2_000
"""Most programs that are recorded of one command."""
HINT: Final = "/ml-intern/hint"
"""The program that does not exist: the words of an attempt to start it are a report of the process itself."""
_MAX_HINTS: Final = 500
_MAX_HINT: Final = 2_000
_MAX_WORDS: Final = 200
_MAX_WORD: Final = 200_000
_MAX_TEXT: Final = 2_000_000
"""Most bytes of arguments that are recorded of one command."""
_PAGE: Final = 4096
_EMPTY_PATH: Final = 0x1000


@dataclass(frozen=True)
class StartedProgram:
    """A program that a command started. `process` is its number inside the sandbox."""

    path: str
    words: tuple[str, ...]
    """Its arguments, the first one included."""
    folder: str
    process: int


@dataclass(frozen=True)
class SuspendedStart:
    """A suspended execve() or execveat(): the thread and the arguments of the call."""

    thread: int
    folder: int | None
    """The descriptor that execveat() starts from."""
    path: int
    words: int
    flags: int = 0


@dataclass
class ProgramLog:
    """The programs of one command. It never fails: what it cannot read is in `missed`."""

    started: list[StartedProgram] = field(default_factory=list[StartedProgram])
    hints: list[str] = field(default_factory=list[str])
    """The reports of the processes about themselves."""
    missed: str = ""
    """Why the list may be incomplete, or ""."""
    _bytes: int = 0

    def clear(self) -> None:
        """Forget what was started so far, because another command begins."""
        self.started, self.hints, self.missed, self._bytes = [], [], "", 0

    def after(self, command: Sequence[str]) -> list[StartedProgram]:
        """Return what was started after the command itself, without what started the sandbox."""
        found = list(self.started)
        place = next((at for at, one in enumerate(found) if one.words == tuple(command)), -1)
        return found[place + 1 :]

    def note(self, request: SuspendedStart) -> None:
        """Record a program that is about to start."""
        if len(self.started) >= MAX_PROGRAMS or self._bytes > _MAX_TEXT:
            self.missed = self.missed or f"more than {MAX_PROGRAMS} programs, or very long ones, were started"
            return
        try:
            found = _read(request)
        except (OSError, ValueError, struct.error) as error:
            self.missed = self.missed or f"a program that was started could not be read: {error}"
            return
        if isinstance(found, str):
            self.hints += [found[:_MAX_HINT]] if len(self.hints) < _MAX_HINTS else []
        elif found is not None:
            self.started.append(found)
            self._bytes += sum(map(len, found.words))


def _read(request: SuspendedStart) -> StartedProgram | str | None:
    """Return the program that a call starts, the text of a hint, or None if there is no such file."""
    memory = _Memory(request.thread)
    try:
        name = memory.text(request.path)
        if name == HINT:
            return " ".join(memory.words(request.words)[1:])
        folder = os.readlink(f"/proc/{request.thread}/cwd")  # noqa: PTH115  called for every program
        path = _path(request, name, folder)
        if path is None:
            return None
        return StartedProgram(path, memory.words(request.words), folder, _inner_number(request.thread))
    finally:
        memory.close()


def _path(request: SuspendedStart, name: str, folder: str) -> str | None:
    """Return the path as the sandbox names it; None if there is no file, as when a shell tries several folders."""
    base = folder
    if request.folder is not None and request.folder >= 0:
        base = os.readlink(f"/proc/{request.thread}/fd/{request.folder}")  # noqa: PTH115
    if not name and request.flags & _EMPTY_PATH:
        return base
    path = os.path.join(base, name)  # noqa: PTH118
    root = os.open(f"/proc/{request.thread}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(open_in_root(root, os.fsencode(path), os.O_PATH | os.O_CLOEXEC))
    except OSError:
        return None
    finally:
        os.close(root)
    return path


class _Memory:
    """The memory of a suspended process. Each page is read once: a command line has many words on few pages."""

    def __init__(self, thread: int) -> None:
        self._descriptor = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self._pages: dict[int, bytes] = {}

    def close(self) -> None:
        os.close(self._descriptor)

    def words(self, address: int) -> tuple[str, ...]:
        """Return the words of a list of pointers that ends with 0."""
        data = os.pread(self._descriptor, 8 * _MAX_WORDS, address) if address else b""
        pointers = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
        end = pointers.index(0) if 0 in pointers else len(pointers)
        return tuple(map(self.text, pointers[:end]))

    def text(self, address: int) -> str:
        """Return the text at an address, read to the end of each page, since the next one may not exist."""
        found = b""
        while len(found) < _MAX_WORD:
            page, start = divmod(address + len(found), _PAGE)
            content = self._page(page)
            end = content.find(b"\0", start)
            found += content[start : end if end >= 0 else len(content)]
            if end >= 0 or len(content) < _PAGE:
                break
        return os.fsdecode(found)

    def _page(self, number: int) -> bytes:
        if number not in self._pages:
            self._pages[number] = os.pread(self._descriptor, _PAGE, number * _PAGE)
        return self._pages[number]


def _inner_number(thread: int) -> int:
    """Return the number of a process in its own process namespace."""
    lines = Path(f"/proc/{thread}/status").read_text(encoding="ascii", errors="replace").splitlines()
    numbers = next((line.split()[1:] for line in lines if line.startswith("NStgid:")), ["0"])
    return int(numbers[-1])
