"""The heap of this process, where the C library lets it be set."""

import ctypes
import sys

_ARENAS = -8
"""M_ARENA_MAX of malloc.h in glibc."""


def share_heap() -> None:
    """Let all threads share one heap, before there are threads: each with its own keeps what it freed to itself.

    About 10 MB of a long run. Python's own lock lets one thread allocate at a time anyway.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_ARENAS, 1)
