"""The few system calls that Python does not wrap, by their numbers. Linux only."""

import ctypes
import errno
import os
import platform
from functools import cache

NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {"seccomp": 317, "pidfd_getfd": 438, "openat2": 437},
    "aarch64": {"seccomp": 277, "pidfd_getfd": 438, "openat2": 437},
}
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
"""The second since Linux 5.19: a signal does not make a call that is being answered begin again."""
_RESOLVE_IN_ROOT, _RESOLVE_NO_MAGICLINKS = 0x10, 0x02


@cache
def libc() -> ctypes.CDLL:
    """The C library, with errno kept."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """The result of a call to the C library. Raises OSError when it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _call(name: str, *arguments: object) -> int:
    number = NUMBERS[platform.machine()][name]
    return checked(int(libc().syscall(ctypes.c_long(number), *arguments)))


def no_new_privileges() -> None:
    """From now on this thread and what it starts gain no privileges by exec."""
    checked(int(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))


def filter_with_listener(program: bytes) -> int:
    """Put a seccomp filter on this thread and what it starts; the descriptor that its notifications arrive at.

    Raises:
        OSError: the kernel does not do it, or another listener is there already.
    """

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    what = ctypes.byref(Program(len(program) // 8, program))
    mode = ctypes.c_uint(_SECCOMP_SET_MODE_FILTER)
    try:
        return _call("seccomp", mode, ctypes.c_uint(_NEW_LISTENER | _WAIT_KILLABLE), what)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return _call("seccomp", mode, ctypes.c_uint(_NEW_LISTENER), what)


def descriptor_of(pidfd: int, descriptor: int) -> int:
    """A duplicate of another process's descriptor. Raises OSError."""
    return _call("pidfd_getfd", ctypes.c_int(pidfd), ctypes.c_int(descriptor), ctypes.c_uint(0))


def open_within(root: int, path: bytes, flags: int) -> int:
    """Open `path` as a process whose root folder is `root` would, without links of /proc. Raises OSError."""
    how = (ctypes.c_uint64 * 3)(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    return _call("openat2", ctypes.c_int(root), ctypes.c_char_p(path), how, ctypes.c_size_t(ctypes.sizeof(how)))


def connect(descriptor: int, address: bytes) -> None:
    """connect(2) with the address as it is in memory. Raises OSError."""
    checked(int(libc().connect(ctypes.c_int(descriptor), ctypes.c_char_p(address), ctypes.c_uint(len(address)))))


def filesystem_type(descriptor: int) -> int:
    """The magic number of the file system that a file lies in. Raises OSError."""
    found = (ctypes.c_long * 32)()
    checked(int(libc().fstatfs(ctypes.c_int(descriptor), found)))
    return int(found[0])
