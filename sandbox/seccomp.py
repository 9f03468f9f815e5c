"""The seccomp filter programs of the sandbox: few socket types, no keyrings, no io_uring, no setuid files.

A network namespace does not isolate vsock or unix sockets with a path. io_uring opens sockets without socket(2), past
the filter. A user's keyrings are shared by all their namespaces. A datagram socket, even one of a pair, can send to
any path without connect(). A setuid file that a command leaves in the workspace would give its owner's rights to other
users of the machine, so no file gets such a mode; for root also none that is setgid.
"""

import os
import platform
import struct
from dataclasses import dataclass

_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
# SECCOMP_RET_ALLOW, _KILL_PROCESS, _ERRNO | EPERM, _USER_NOTIF
_ALLOW, _KILL, _DENY, _NOTIFY = 0x7FFF0000, 0x80000000, 0x00050000 | 1, 0x7FC00000
_MISSING = 0x00050000 | 38  # ENOSYS: callers of openat2 use openat instead
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_FIRST_ARGUMENT, _SECOND_ARGUMENT = _ARGUMENTS, _ARGUMENTS + 8
_CREATES = 0o100 | 0o20000000  # O_CREAT, O_TMPFILE
_SETUID, _SETGID = 0o4000, 0o2000
_X32 = 0x40000000
_FAMILIES = (2, 10, 16)
"""AF_INET, AF_INET6, and AF_NETLINK, which the resolver of glibc needs."""
_UNIX = 1
_KIND, _CONNECTED_KINDS = 0xF, (1, 5)
"""Mask of a socket's type; SOCK_STREAM and SOCK_SEQPACKET cannot send before connect()."""


@dataclass(frozen=True)
class Architecture:
    """System call numbers of one architecture (linux/audit.h, asm/unistd.h)."""

    audit: int
    socket: int
    socketpair: int
    connect: int
    denied: tuple[int, ...]
    """io_uring_setup, add_key, request_key, keyctl, bpf, userfaultfd, perf_event_open."""
    modes: tuple[tuple[int, int, int | None], ...]
    """System calls that set a mode, the position of the mode, and that of the flags if these decide about it."""
    openat2: int


MACHINES: dict[str, Architecture] = {
    "x86_64": Architecture(
        0xC000003E,
        41,
        53,
        42,
        (425, 248, 249, 250, 321, 323, 298),
        # chmod, fchmod, fchmodat, fchmodat2, creat, mknod, mknodat, open, openat
        (
            (90, 1, None),
            (91, 1, None),
            (268, 2, None),
            (452, 2, None),
            (85, 1, None),
            (133, 1, None),
            (259, 2, None),
            (2, 2, 1),
            (257, 3, 2),
        ),
        437,
    ),
    "aarch64": Architecture(
        0xC00000B7,
        198,
        199,
        203,
        (425, 217, 218, 219, 280, 282, 241),
        ((52, 1, None), (53, 2, None), (452, 2, None), (33, 2, None), (56, 3, 2)),
        437,
    ),
}


def _step(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, on_true, on_false, value)


def seccomp_filter(machine: str | None = None, *, unix: bool = False) -> bytes:
    """Return the filter for `machine` (this one by default). `unix` allows unix sockets, for use with the broker.

    Raises:
        KeyError: the architecture is not supported.
    """
    numbers = MACHINES[machine or platform.machine()]
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, numbers.audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_GREATER_EQUAL, _X32, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for number in numbers.denied:
        steps += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _DENY)]
    steps += [_step(_EQUAL, numbers.openat2, 0, 1), _step(_RETURN, _MISSING)]
    for number, mode, flags in numbers.modes:
        check = _denied_mode(mode, flags)
        steps += [_step(_EQUAL, number, 0, len(check)), *check]
    pair = _only_connected_kinds()
    steps += [_step(_EQUAL, numbers.socketpair, 0, len(pair)), *pair]
    steps += [_step(_EQUAL, numbers.socket, 1, 0), _step(_RETURN, _ALLOW), _step(_LOAD, _FIRST_ARGUMENT)]
    for family in _FAMILIES:
        steps += [_step(_EQUAL, family, 0, 1), _step(_RETURN, _ALLOW)]
    if unix:
        steps += [_step(_EQUAL, _UNIX, 1, 0), _step(_RETURN, _DENY), *_only_connected_kinds()]
    return b"".join([*steps, _step(_RETURN, _DENY)])


def _denied_mode(mode: int, flags: int | None) -> list[bytes]:
    """Return the steps that decide about a call by its mode, which has a meaning only if the flags create a file."""
    bits = _SETUID | (_SETGID if os.getuid() == 0 else 0)
    deny = [_step(_LOAD, _ARGUMENTS + 8 * mode), _step(_ANY_BIT, bits, 0, 1), _step(_RETURN, _DENY)]
    creates = [_step(_LOAD, _ARGUMENTS + 8 * flags), _step(_ANY_BIT, _CREATES, 0, len(deny))] if flags else []
    return [*creates, *deny, _step(_RETURN, _ALLOW)]


def _only_connected_kinds() -> list[bytes]:
    steps = [_step(_LOAD, _SECOND_ARGUMENT), _step(_AND, _KIND)]
    for kind in _CONNECTED_KINDS:
        steps += [_step(_EQUAL, kind, 0, 1), _step(_RETURN, _ALLOW)]
    return [*steps, _step(_RETURN, _DENY)]


def notifying_filter(machine: str | None = None) -> bytes:
    """Return the filter that reports every connect() to a listener. `seccomp_filter` rejects other architectures."""
    numbers = MACHINES[machine or platform.machine()]
    return b"".join(
        [
            _step(_LOAD, _ARCHITECTURE),
            _step(_EQUAL, numbers.audit, 1, 0),
            _step(_RETURN, _ALLOW),
            _step(_LOAD, _NUMBER),
            _step(_EQUAL, numbers.connect, 0, 1),
            _step(_RETURN, _NOTIFY),
            _step(_RETURN, _ALLOW),
        ]
    )
