"""Start a program on what looks like an older kernel: `python older_kernel.py landlock,namespaces,locks PROGRAM ...`.

The system calls of what is named fail as if the kernel did not have it, for the program and everything it starts.
"""

import ctypes
import os
import platform
import struct
import sys

_X86 = platform.machine() == "x86_64"
_CLONE, _UNSHARE, _CLONE3, _LANDLOCK, _FLOCK = (56, 272, 435, 444, 73) if _X86 else (220, 97, 435, 444, 32)
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS, _ENOLCK = 1, 38, 37
_NEW_USER = 0x10000000


def step(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, on_true, on_false, value)


def fails(number: int, error: int) -> bytes:
    return step(0x15, number, 0, 1) + step(0x06, _FAIL | error)


def fails_with_new_user(number: int) -> bytes:
    check = step(0x20, 16) + step(0x45, _NEW_USER, 0, 1) + step(0x06, _FAIL | _EPERM) + step(0x06, _ALLOW)
    return step(0x15, number, 0, 4) + check


MISSING = {
    "landlock": fails(_LANDLOCK, _ENOSYS),
    "locks": fails(_FLOCK, _ENOLCK),
    "namespaces": fails_with_new_user(_CLONE) + fails_with_new_user(_UNSHARE) + fails(_CLONE3, _ENOSYS),
}


def install(program: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_SECCOMP, _FILTER, ctypes.byref(Program(len(program) // 8, program)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    install(step(0x20, 0) + b"".join(MISSING[name] for name in sys.argv[1].split(",")) + step(0x06, _ALLOW))
    os.execvp(sys.argv[2], sys.argv[2:])
