"""Where this process runs its own system calls: the memory of its C library.

A thread that starts a program waits for the kernel and holds Python's lock meanwhile. The recorder could then not
answer for that start, so the filter lets it pass: it is known by the address of the calling instruction.
"""

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Final

from ml_intern.sandbox.syscalls import libc

_HALF: Final = 32


@lru_cache(maxsize=1)
def own_code() -> tuple[int, int] | None:
    """Return the first and the last address of the code that calls execve() here; None if a filter cannot test it."""
    try:
        address = ctypes.cast(libc().execve, ctypes.c_void_p).value or 0
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except (OSError, AttributeError):
        return None
    for line in lines:
        place, rights = line.split()[:2]
        start, end = (int(part, 16) for part in place.split("-"))
        if start <= address < end and "x" in rights:
            return (start, end) if start >> _HALF == (end - 1) >> _HALF else None
    return None
