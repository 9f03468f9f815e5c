"""A broker that performs connect() for sandboxed processes, so that they reach only unix sockets of their sandbox.

A network namespace does not isolate unix sockets with a path, and a seccomp filter cannot read the path. So every
connect() in the sandbox is suspended (seccomp user notification) and performed by the broker: internet addresses as
requested, unix sockets only in file systems that were created for the sandbox.

A sandbox in the network namespace of the host has a `SharedNetwork`: the broker then decides about internet addresses
too, and about listen(). A thread has one listener, so the broker also hands each execve() to the log of programs.
"""

import errno
import fcntl
import ipaddress
import os
import platform
import select
import socket
import stat
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_intern.sandbox.programs.log import ProgramLog, SuspendedStart
from ml_intern.sandbox.programs.own_code import own_code
from ml_intern.sandbox.seccomp import MACHINES, notifying_filter
from ml_intern.sandbox.syscalls import (
    connect,
    duplicate_descriptor,
    filesystem_type,
    install_filter_with_listener,
    open_in_root,
    set_no_new_privileges,
)

_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTIFICATION = struct.Struct("<QIIiIQ6Q")
_ANSWER = struct.Struct("<QqiI")
_CONTINUE = 1
_TMPFS = 0x01021994
_MAX_ADDRESS = 128
_MAX_QUEUE = 4096
_MAX_PENDING = 256
"""Blocking connections in progress at the same time."""
_GONE = frozenset({errno.ENOENT, errno.EINTR, errno.EBADF})


@dataclass(frozen=True)
class SharedNetwork:
    """The permissions of a command without a network namespace of its own."""

    folder: str
    """The folder with its unix sockets; nothing can be moved into it."""
    route: Callable[[str, int], int | None]
    """Returns the port to connect to when it connects to an address and port; None if it may not."""
    listens: bool
    """Whether it may accept connections from the network."""


@dataclass(frozen=True)
class _Request:
    """A suspended connect(), listen() or start; of listen(), `address` is the length of the queue."""

    id: int
    thread: int
    call: int
    descriptor: int
    address: int
    length: int
    arguments: tuple[int, ...]


class ConnectionBroker:
    """Performs connect() for all descendants of one filtered thread until the last one ends or `close` is called."""

    def __init__(
        self, *, abstract: bool, shared: SharedNetwork | None = None, programs: ProgramLog | None = None
    ) -> None:
        self._abstract = abstract
        """Abstract unix sockets are allowed, since the sandbox has its own network namespace."""
        self._shared = shared
        self._listen_call = MACHINES[platform.machine()].listen if shared else -1
        self._starts = MACHINES[platform.machine()].starts
        self._programs = programs
        self._listener = -1
        self._open = threading.Lock()
        """Guards the listener while it is used outside the receiving thread or closed."""
        self._pending = threading.Semaphore(_MAX_PENDING)
        self._filtered = threading.Event()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name="connections", daemon=True)

    def start(self) -> None:
        """Start serving. Do not call it from the thread to be filtered, because the new thread must not be filtered."""
        self._thread.start()

    def filter_this_thread(self) -> None:
        """Redirect every connect() of this thread and its future children to the broker. Raises OSError."""
        set_no_new_privileges()
        self._listener = install_filter_with_listener(
            notifying_filter(
                listen=self._shared is not None, own_code=own_code() if self._programs is not None else None
            )
        )
        self._filtered.set()

    def close(self) -> None:
        """Stop serving."""
        os.eventfd_write(self._stop, 1)
        self._filtered.set()
        self._thread.join()
        os.close(self._stop)
        with self._open:
            if self._listener >= 0:
                os.close(self._listener)
            self._listener = -1

    def _serve(self) -> None:
        self._filtered.wait()
        if self._listener < 0:
            return
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._stop in ready or not ready[self._listener] & select.POLLIN:
                return
            if request := self._receive():
                self._handle(request)

    def _receive(self) -> _Request | None:
        buffer = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, buffer)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        identifier, thread, _flags, call, _machine, _pointer, *arguments = _NOTIFICATION.unpack(buffer)
        descriptor, length = arguments[0] & 0xFFFFFFFF, arguments[2] & 0xFFFFFFFF
        return _Request(identifier, thread, call, descriptor, arguments[1], length, tuple(arguments))

    def _handle(self, request: _Request) -> None:
        if request.call in self._starts:
            self._start(request)
            return
        with ExitStack() as stack:
            try:
                duplicate = self._duplicate(request, stack)
                if request.call == self._listen_call:
                    self._listen(request, duplicate)
                    return
                address = self._address(request, duplicate, stack)
                if not os.get_blocking(duplicate.fileno()):
                    self._connect(request, duplicate, address)
                    return
            except OSError as error:
                self._answer(request, error.errno or errno.EACCES)
                return
            if self._pending.acquire(blocking=False):
                resources = stack.pop_all()
                arguments = (request, duplicate, address, resources)
                threading.Thread(target=self._connect_blocking, args=arguments, daemon=True).start()
            else:
                self._answer(request, errno.EAGAIN)

    def _start(self, request: _Request) -> None:
        """Record a program and let it start."""
        path, words, *further = request.arguments
        start = SuspendedStart(request.thread, None, path, words)
        if request.call == self._starts[1]:  # execveat()
            folder = request.descriptor - (1 << 32) if request.descriptor >> 31 else request.descriptor
            start = SuspendedStart(request.thread, folder, words, further[0], further[2])
        if self._programs is not None:
            self._programs.note(start)
        self._answer(request, 0, _CONTINUE)

    def _connect_blocking(
        self, request: _Request, duplicate: socket.socket, address: bytes, resources: ExitStack
    ) -> None:
        with resources:
            self._connect(request, duplicate, address)
        self._pending.release()

    def _duplicate(self, request: _Request, stack: ExitStack) -> socket.socket:
        """Return a duplicate of the socket. Raises OSError."""
        pidfd = os.pidfd_open(_process_of(request.thread))
        stack.callback(os.close, pidfd)
        return stack.enter_context(socket.socket(fileno=duplicate_descriptor(pidfd, request.descriptor)))

    def _listen(self, request: _Request, duplicate: socket.socket) -> None:
        """Listen on a unix socket, or, if the command may, on any. Raises OSError."""
        if duplicate.family != socket.AF_UNIX and not (self._shared and self._shared.listens):
            raise OSError(errno.EACCES, "the command shares the network of the host")
        self._control(_IS_VALID, struct.pack("<Q", request.id))
        duplicate.listen(min(request.address & 0xFFFFFFFF, _MAX_QUEUE))
        self._answer(request, 0)

    def _address(self, request: _Request, duplicate: socket.socket, stack: ExitStack) -> bytes:
        """Return the address to connect the socket to. Raises OSError."""
        if not 2 <= request.length <= _MAX_ADDRESS:
            raise OSError(errno.EINVAL, "invalid address")
        with Path(f"/proc/{request.thread}/mem").open("rb", buffering=0) as memory:
            address = os.pread(memory.fileno(), request.length, request.address)
        if len(address) != request.length:
            raise OSError(errno.EFAULT, "invalid address")
        if duplicate.family == socket.AF_UNIX:
            return self._unix_address(request, address, stack)
        if duplicate.family not in {socket.AF_INET, socket.AF_INET6}:
            raise OSError(errno.EACCES, "not an internet socket")
        return self._routed(address)

    def _routed(self, address: bytes) -> bytes:
        """Return an internet address with the port to use. Raises OSError if it is not allowed."""
        if self._shared is None:
            return address
        port = self._shared.route(*_internet_address(address))
        if port is None:
            raise OSError(errno.ENETUNREACH, "the address is not allowed")
        return address[:2] + port.to_bytes(2, "big") + address[4:]

    def _unix_address(self, request: _Request, address: bytes, stack: ExitStack) -> bytes:
        family, name = struct.unpack("=H", address[:2])[0], address[2:]
        if family != socket.AF_UNIX or not name:
            raise OSError(errno.EINVAL, "invalid unix address")
        if name[0] == 0:
            if not self._abstract:
                raise OSError(errno.EACCES, "abstract sockets may belong to the host")
            return address
        path = os.path.join(os.readlink(f"/proc/{request.thread}/cwd").encode(), name.split(b"\0")[0])  # noqa: PTH115, PTH118  bytes
        root = os.open(f"/proc/{request.thread}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        found = open_in_root(root, path, os.O_PATH | os.O_CLOEXEC)
        stack.callback(os.close, found)
        if not stat.S_ISSOCK(os.fstat(found).st_mode):
            raise OSError(errno.ECONNREFUSED, "not a socket")
        if not self._is_own(found):
            raise OSError(errno.EACCES, "the socket is outside the sandbox")
        # Refer to the checked file by descriptor, because its path may have been replaced.
        return struct.pack("=H", socket.AF_UNIX) + f"/proc/self/fd/{found}\0".encode()

    def _is_own(self, found: int) -> bool:
        """Return whether the command made this socket file."""
        if self._shared is not None:
            return Path(f"/proc/self/fd/{found}").readlink().is_relative_to(self._shared.folder)
        return filesystem_type(found) == _TMPFS and os.fstat(found).st_dev not in _own_devices()

    def _connect(self, request: _Request, duplicate: socket.socket, address: bytes) -> None:
        """Connect and answer. Fails if the process has ended, since its number may belong to another one."""
        code = 0
        try:
            self._control(_IS_VALID, struct.pack("<Q", request.id))
            connect(duplicate.fileno(), address)
        except OSError as error:
            code = error.errno or errno.EACCES
        self._answer(request, code)

    def _answer(self, request: _Request, code: int, flags: int = 0) -> None:
        try:
            self._control(_SEND, _ANSWER.pack(request.id, 0, -code, flags))
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def _control(self, operation: int, argument: bytes) -> None:
        with self._open:
            if self._listener < 0:
                raise OSError(errno.EBADF, "closed")
            fcntl.ioctl(self._listener, operation, argument)


def _internet_address(address: bytes) -> tuple[str, int]:
    """Return host and port of an IPv4 or IPv6 address. Raises OSError for anything else."""
    family = struct.unpack("=H", address[:2])[0]
    start, length = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}.get(family, (0, 0))
    packed = address[start : start + length]
    if not length or len(packed) != length:
        raise OSError(errno.EACCES, "not an internet address")
    host = ipaddress.ip_address(packed)
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return str(mapped or host), int.from_bytes(address[2:4], "big")


def _process_of(thread: int) -> int:
    """Return the process id of a thread, as seen from this namespace. Raises OSError."""
    lines = Path(f"/proc/{thread}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Tgid:")), 0)


def _own_devices() -> set[int]:
    """Return the device numbers (st_dev) of the file systems mounted in this process's namespace."""
    numbers = (line.split()[2] for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines())
    return {os.makedev(*map(int, number.split(":"))) for number in numbers}


@lru_cache(maxsize=1)
def can_broker() -> bool:
    """Return whether the kernel supports the broker."""
    results: list[bool] = []

    def attempt() -> None:
        try:
            set_no_new_privileges()
            os.close(install_filter_with_listener(notifying_filter()))
            pidfd = os.pidfd_open(os.getpid())
            os.close(duplicate_descriptor(pidfd, pidfd))
            os.close(pidfd)
            results.append(True)
        except (OSError, KeyError, AttributeError):
            results.append(False)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return results == [True]
