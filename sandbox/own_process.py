"""Hide this process's keys from the commands that it starts.

A command of the same user can read the initial environment and the memory of its parent in /proc.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

_MARK = b"ML_INTERN_CALL"
"""The mark by which a calling ml-intern finds this process; it stays readable."""
_START_FIELD, _END_FIELD = 47, 48
"""Positions of env_start and env_end in /proc/self/stat, after the name of the process."""
_SET_DUMPABLE = 4


def hide_own_process() -> None:
    """Overwrite the initial environment, and close /proc/PID to other processes of this user.

    `os.environ` stays as it is. Call it at the start of the process, before other threads exist.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # /proc is not mounted
            _overwrite_environment()
        _forbid_dumps()


def _overwrite_environment() -> None:
    for name, value in os.environb.items():
        os.putenv(name, value)  # a copy, since the original is overwritten
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[_START_FIELD]), int(fields[_END_FIELD])
    mark = b"%s=%s\0" % (_MARK, os.environb[_MARK]) if _MARK in os.environb else b""
    # Not by mmap or ctypes: a wrong address is an error here, and does not end the process.
    with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
        os.pwrite(memory.fileno(), mark[: end - start].ljust(end - start, b"\0"), start)


def _forbid_dumps() -> None:
    """Make /proc/PID/environ, mem and fd unreadable to other processes, except for those of root."""
    import ctypes

    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
