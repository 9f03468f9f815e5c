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
_NUMBER, _ARCHITECTURE, _INSTRUCTION, _ARGUMENTS = 0, 4, 8, 16  # offsets in struct seccomp_data
_FIRST_ARGUMENT, _SECOND_ARGUMENT = _ARGUMENTS, _ARGUMENTS + 8
_CREATES = 0o100 | 0o20000000  # O_CREAT, O_TMPFILE
_SETUID, _SETGID = 0o4000, 0o2000
_FAST_OPEN, _NEW_USER, _TCP = 0x20000000, 0x10000000, 6
_O_ACCMODE, _O_TRUNC = 0o3, 0o1000
_THIRD_ARGUMENT = _ARGUMENTS + 16
_X32 = 0x40000000
_FAMILIES = (2, 10, 16)
"""AF_INET, AF_INET6, and AF_NETLINK, which the resolver of glibc needs."""
_UNIX, _NETLINK, _STREAM = 1, 16, 1
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
    listen: int
    shared: tuple[int, ...]
    """Shared memory, semaphores and message queues that are not files."""
    fast_open: tuple[tuple[int, int], ...]
    """sendto, sendmsg, sendmmsg, and the position of their flags."""
    new_user: tuple[int, ...]
    """clone and unshare, whose first argument can ask for a user namespace."""
    clone3: int
    truncate: int
    opens: tuple[tuple[int, int], ...]
    """open and openat, and the position of their flags."""
    starts: tuple[int, int]
    """execve and execveat."""


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
        50,
        (29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 220, 240),
        ((44, 3), (46, 2), (307, 3)),
        (56, 272),
        435,
        76,
        ((2, 1), (257, 2)),
        (59, 322),
    ),
    "aarch64": Architecture(
        0xC00000B7,
        198,
        199,
        203,
        (425, 217, 218, 219, 280, 282, 241),
        ((52, 1, None), (53, 2, None), (452, 2, None), (33, 2, None), (56, 3, 2)),
        437,
        201,
        (194, 196, 195, 190, 193, 191, 186, 189, 188, 187, 192, 180),
        ((206, 3), (211, 2), (269, 3)),
        (220, 97),
        435,
        45,
        ((56, 2),),
        (221, 281),
    ),
}


def _step(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, on_true, on_false, value)


def seccomp_filter(
    machine: str | None = None, *, unix: bool = False, namespaces: bool = True, internet: bool = False,
    truncation: bool = True, sockets: bool = True,
) -> bytes:  # fmt: skip
    """Return the filter for `machine` (this one by default). `unix` allows unix sockets, for use with the broker.

    Without `namespaces` the command shares the network and the memory objects of the host: the filter then allows no
    protocol but TCP, unless `internet` is set, and no means to connect other than connect(). Without `truncation` it
    allows no call that empties a file without opening it for writing, without `sockets` no internet socket.

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
    if not namespaces:
        steps += _shared_host(numbers)
    if not truncation:
        steps += _no_truncation(numbers)
    pair = _only_connected_kinds()
    steps += [_step(_EQUAL, numbers.socketpair, 0, len(pair)), *pair]
    steps += [_step(_EQUAL, numbers.socket, 1, 0), _step(_RETURN, _ALLOW), _step(_LOAD, _FIRST_ARGUMENT)]
    inside = [_step(_RETURN, _ALLOW)] if namespaces or internet else _only_tcp()
    for family in _FAMILIES if sockets else ():
        steps += [_step(_EQUAL, family, 0, len(inside)), *inside]
    if unix:
        steps += [_step(_EQUAL, _UNIX, 1, 0), _step(_RETURN, _DENY), *_only_connected_kinds()]
    return b"".join([*steps, _step(_RETURN, _DENY)])


def _denied_mode(mode: int, flags: int | None) -> list[bytes]:
    """Return the steps that decide about a call by its mode, which has a meaning only if the flags create a file."""
    bits = _SETUID | (_SETGID if os.getuid() == 0 else 0)
    deny = [_step(_LOAD, _ARGUMENTS + 8 * mode), _step(_ANY_BIT, bits, 0, 1), _step(_RETURN, _DENY)]
    creates = [_step(_LOAD, _ARGUMENTS + 8 * flags), _step(_ANY_BIT, _CREATES, 0, len(deny))] if flags else []
    return [*creates, *deny, _step(_RETURN, _ALLOW)]


def _shared_host(numbers: Architecture) -> list[bytes]:
    """Return the steps for a command in the namespaces of the host. They leave the call's number loaded."""
    steps = [part for number in numbers.shared for part in (_step(_EQUAL, number, 0, 1), _step(_RETURN, _DENY))]
    bits = [(number, position, _FAST_OPEN) for number, position in numbers.fast_open]
    bits += [(number, 0, _NEW_USER) for number in numbers.new_user]
    for number, position, bit in bits:
        check = [_step(_LOAD, _ARGUMENTS + 8 * position), _step(_ANY_BIT, bit, 0, 1), _step(_RETURN, _DENY)]
        steps += [_step(_EQUAL, number, 0, 4), *check, _step(_RETURN, _ALLOW)]
    return [*steps, _step(_EQUAL, numbers.clone3, 0, 1), _step(_RETURN, _MISSING)]


def _no_truncation(numbers: Architecture) -> list[bytes]:
    """Return the steps for a Landlock that does not restrict truncation. They leave the call's number loaded."""
    steps = [_step(_EQUAL, numbers.truncate, 0, 1), _step(_RETURN, _DENY)]
    for number, flags in numbers.opens:
        check = [_step(_LOAD, _ARGUMENTS + 8 * flags), _step(_AND, _O_ACCMODE | _O_TRUNC)]
        check += [_step(_EQUAL, _O_TRUNC, 0, 1), _step(_RETURN, _DENY), _step(_LOAD, _NUMBER)]
        steps += [_step(_EQUAL, number, 0, len(check)), *check]
    return steps


def _only_tcp() -> list[bytes]:
    """Allow a stream socket of TCP, and the routing information that the resolver reads."""
    return [
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_EQUAL, _NETLINK, 4, 0),
        _step(_LOAD, _SECOND_ARGUMENT),
        _step(_AND, _KIND),
        _step(_EQUAL, _STREAM, 1, 0),
        _step(_RETURN, _DENY),
        _step(_LOAD, _THIRD_ARGUMENT),
        _step(_EQUAL, 0, 1, 0),
        _step(_EQUAL, _TCP, 0, 1),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _DENY),
    ]


def _only_connected_kinds() -> list[bytes]:
    steps = [_step(_LOAD, _SECOND_ARGUMENT), _step(_AND, _KIND)]
    for kind in _CONNECTED_KINDS:
        steps += [_step(_EQUAL, kind, 0, 1), _step(_RETURN, _ALLOW)]
    return [*steps, _step(_RETURN, _DENY)]


def notifying_filter(
    machine: str | None = None, *, listen: bool = False, own_code: tuple[int, int] | None = None
) -> bytes:
    """Return the filter that reports every connect(), with `listen` also listen(), to a listener.

    With `own_code`, it also reports every execve() and execveat(), except those that are called from an instruction in
    this range of addresses. `seccomp_filter` rejects other architectures.
    """
    numbers = MACHINES[machine or platform.machine()]
    calls = (numbers.connect, *([numbers.listen] if listen else []))
    starts = _starts(numbers, own_code) if own_code is not None else []
    return b"".join(
        [
            _step(_LOAD, _ARCHITECTURE),
            _step(_EQUAL, numbers.audit, 1, 0),
            _step(_RETURN, _ALLOW),
            _step(_LOAD, _NUMBER),
            *(step for number in calls for step in (_step(_EQUAL, number, 0, 1), _step(_RETURN, _NOTIFY))),
            *starts,
            _step(_RETURN, _ALLOW),
        ]
    )


def _starts(numbers: Architecture, own_code: tuple[int, int]) -> list[bytes]:
    """Return the steps that report the start of a program that other code than `own_code` calls."""
    first, end = own_code
    check = [
        _step(_LOAD, _INSTRUCTION + 4),
        _step(_EQUAL, first >> 32, 0, 4),
        _step(_LOAD, _INSTRUCTION),
        _step(_GREATER_EQUAL, first & 0xFFFFFFFF, 0, 2),
        _step(_GREATER_EQUAL, (end - 1) & 0xFFFFFFFF, 1, 0),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _NOTIFY),
    ]
    return [part for number in numbers.starts for part in (_step(_EQUAL, number, 0, len(check)), *check)]
