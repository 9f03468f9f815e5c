"""Landlock: the version of this kernel, and the rights that each version can restrict (linux/landlock.h)."""

import ctypes
import os
import platform
from dataclasses import dataclass
from functools import lru_cache

from ml_intern.sandbox.seccomp import MACHINES
from ml_intern.sandbox.syscalls import libc

_CREATE_RULESET, _ASK_VERSION = 444, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, _MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST = (1 << 13) - 1
"""The rights of version 1."""
_SINCE = ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))
_SCOPED = 0b11
"""Abstract unix sockets and signals, since version 6."""
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""The rights that a rule about a file may have."""


@dataclass(frozen=True)
class Landlock:
    """The restrictions that a version of Landlock supports."""

    version: int

    @property
    def handled(self) -> int:
        """Return the rights that need a rule."""
        return _FIRST | sum(right for version, right in _SINCE if self.version >= version)

    @property
    def scoped(self) -> int:
        """Return what is limited to the processes of the sandbox."""
        return _SCOPED if self.version >= 6 else 0

    @property
    def attribute_bytes(self) -> int:
        """Return the size of struct landlock_ruleset_attr that this version knows."""
        return 24 if self.version >= 6 else 16 if self.version >= 4 else 8


@lru_cache(maxsize=1)
def landlock() -> Landlock | None:
    """Return the kernel's Landlock; None if it has none, or it is not enabled."""
    if os.uname().sysname != "Linux" or platform.machine() not in MACHINES:
        return None
    version = libc().syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_ASK_VERSION))
    return Landlock(version) if version > 0 else None
