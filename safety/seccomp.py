"""The seccomp filter of the sandbox, as the bytes bubblewrap takes: only internet sockets, no keyrings, no io_uring.

A network namespace does not hold unix sockets that have a path, nor vsock; io_uring opens sockets past any filter on
socket(2); the keyrings of a user are shared by all its namespaces.
"""

import platform
import struct
from dataclasses import dataclass

_LOAD, _EQUAL, _GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _DENY = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # SECCOMP_RET_ALLOW, _KILL_PROCESS, _ERRNO | EPERM
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000
_FAMILIES = (2, 10, 16)
"""AF_INET, AF_INET6, and AF_NETLINK, which the resolver of glibc needs."""


@dataclass(frozen=True)
class Machine:
    """The numbers of one architecture (linux/audit.h, asm/unistd.h)."""

    audit: int
    socket: int
    denied: tuple[int, ...]
    """io_uring_setup, add_key, request_key, keyctl, bpf, userfaultfd, perf_event_open."""


MACHINES: dict[str, Machine] = {
    "x86_64": Machine(0xC000003E, 41, (425, 248, 249, 250, 321, 323, 298)),
    "aarch64": Machine(0xC00000B7, 198, (425, 217, 218, 219, 280, 282, 241)),
}


def _step(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, on_true, on_false, value)


def seccomp_filter(machine: str | None = None) -> bytes:
    """The program for `machine` (this one by default).

    Raises:
        KeyError: no numbers are known for it.
    """
    known = MACHINES[machine or platform.machine()]
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, known.audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_GREATER_EQUAL, _X32, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for number in known.denied:
        steps += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _DENY)]
    steps += [_step(_EQUAL, known.socket, 1, 0), _step(_RETURN, _ALLOW), _step(_LOAD, _FIRST_ARGUMENT)]
    for family in _FAMILIES:
        steps += [_step(_EQUAL, family, 0, 1), _step(_RETURN, _ALLOW)]
    return b"".join([*steps, _step(_RETURN, _DENY)])
