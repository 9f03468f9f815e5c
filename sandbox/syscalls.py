"""Linux system calls that Python does not provide."""

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
"""_WAIT_KILLABLE (since Linux 5.19): a signal does not restart a call that is being answered."""
_RESOLVE_IN_ROOT, _RESOLVE_BENEATH, _RESOLVE_NO_SYMLINKS, _RESOLVE_NO_MAGICLINKS = 0x10, 0x08, 0x04, 0x02


@cache
def libc() -> ctypes.CDLL:
    """Return the C library with errno support."""
    return ctypes.CDLL(None, use_errno=True)


def check_result(result: int) -> int:
    """Return the result of a C library call. Raises OSError if it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _call(name: str, *arguments: object) -> int:
    number = NUMBERS[platform.machine()][name]
    return check_result(int(libc().syscall(ctypes.c_long(number), *arguments)))


def set_no_new_privileges() -> None:
    """Prevent this thread and its future children from gaining privileges through exec."""
    check_result(int(libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))


def install_filter_with_listener(program: bytes) -> int:
    """Install a seccomp filter on this thread and its future children; return the descriptor for notifications.

    Raises:
        OSError: the kernel does not support it, or another listener exists.
    """

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    filter_program = ctypes.byref(Program(len(program) // 8, program))
    mode = ctypes.c_uint(_SECCOMP_SET_MODE_FILTER)
    try:
        return _call("seccomp", mode, ctypes.c_uint(_NEW_LISTENER | _WAIT_KILLABLE), filter_program)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return _call("seccomp", mode, ctypes.c_uint(_NEW_LISTENER), filter_program)


def duplicate_descriptor(pidfd: int, descriptor: int) -> int:
    """Duplicate another process's descriptor into this process. Raises OSError."""
    return _call("pidfd_getfd", ctypes.c_int(pidfd), ctypes.c_int(descriptor), ctypes.c_uint(0))


def open_in_root(root: int, path: bytes, flags: int) -> int:
    """Open `path` relative to the root folder `root`, without following magic links. Raises OSError."""
    return _open(root, path, flags, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)


def open_folder_beneath(root: str, path: str) -> int:
    """Open the folder `path` below the folder `root`; no part of it may be a link. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    top = os.open(root, flags)
    try:
        return _open(top, os.fsencode(path), flags, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        return os.open(path, flags | os.O_NOFOLLOW, dir_fd=top)  # before Linux 5.6
    finally:
        os.close(top)


def _open(root: int, path: bytes, flags: int, resolve: int) -> int:
    how = (ctypes.c_uint64 * 3)(flags, 0, resolve)
    return _call("openat2", ctypes.c_int(root), ctypes.c_char_p(path), how, ctypes.c_size_t(ctypes.sizeof(how)))


def connect(descriptor: int, address: bytes) -> None:
    """Call connect(2) with a raw address. Raises OSError."""
    check_result(int(libc().connect(ctypes.c_int(descriptor), ctypes.c_char_p(address), ctypes.c_uint(len(address)))))


def filesystem_type(descriptor: int) -> int:
    """Return the magic number of the file system that contains a file. Raises OSError."""
    found = (ctypes.c_long * 32)()
    check_result(int(libc().fstatfs(ctypes.c_int(descriptor), found)))
    return int(found[0])
