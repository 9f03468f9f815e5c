"""Connections inside a sandbox: connect() is done from outside, which lets unix sockets reach only their own sandbox.

A network namespace does not hold unix sockets that have a path, and a filter cannot read the path. So connect() of
every process inside stops at a listener of ours (seccomp's user notification), which does it on their behalf: over the
internet as they asked, to a unix socket only when it lies in a file system that was made for the sandbox.
"""

import errno
import fcntl
import os
import select
import socket
import stat
import struct
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_intern.sandbox.seccomp import notifying_filter
from ml_intern.sandbox.syscalls import (
    connect,
    descriptor_of,
    filesystem_type,
    filter_with_listener,
    no_new_privileges,
    open_within,
)

_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTIFICATION = struct.Struct("<QIIiIQ6Q")
_ANSWER = struct.Struct("<QqiI")
_TMPFS = 0x01021994
_MAX_ADDRESS = 128
_MAX_WAITING = 256
"""Connections that are waited for at a time."""
_GONE = frozenset({errno.ENOENT, errno.EINTR, errno.EBADF})


@dataclass(frozen=True)
class _Request:
    """One connect() that waits for its answer."""

    id: int
    thread: int
    descriptor: int
    address: int
    length: int


class Connections:
    """Answers every connect() below one filtered thread until the last process is gone, or until `close`."""

    def __init__(self, *, abstract: bool) -> None:
        self._abstract = abstract
        """Unix sockets without a path belong to the sandbox alone."""
        self._listener = -1
        self._open = threading.Lock()
        """Held while the listener is used by whoever did not receive from it, or is closed."""
        self._waiting = threading.Semaphore(_MAX_WAITING)
        self._filtered = threading.Event()
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name="connections", daemon=True)

    def start(self) -> None:
        """Begin to wait. Not from the thread that is to be filtered: what it starts is filtered too."""
        self._thread.start()

    def filter_this_thread(self) -> None:
        """From now on connect() of this thread, and of what it starts, is answered here. Raises OSError."""
        no_new_privileges()
        self._listener = filter_with_listener(notifying_filter())
        self._filtered.set()

    def close(self) -> None:
        """Answer nothing more."""
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
            if request := self._received():
                self._handle(request)

    def _received(self) -> _Request | None:
        buffer = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, buffer)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        identifier, thread, _flags, _number, _machine, _pointer, *arguments = _NOTIFICATION.unpack(buffer)
        return _Request(identifier, thread, arguments[0] & 0xFFFFFFFF, arguments[1], arguments[2] & 0xFFFFFFFF)

    def _handle(self, request: _Request) -> None:
        with ExitStack() as stack:
            try:
                ours, address = self._taken(request, stack)
                if not os.get_blocking(ours.fileno()):
                    self._connect(request, ours, address)
                    return
            except OSError as error:
                self._answer(request, error.errno or errno.EACCES)
                return
            if self._waiting.acquire(blocking=False):
                kept = stack.pop_all()
                threading.Thread(target=self._wait, args=(request, ours, address, kept), daemon=True).start()
            else:
                self._answer(request, errno.EAGAIN)

    def _wait(self, request: _Request, ours: socket.socket, address: bytes, kept: ExitStack) -> None:
        with kept:
            self._connect(request, ours, address)
        self._waiting.release()

    def _taken(self, request: _Request, stack: ExitStack) -> tuple[socket.socket, bytes]:
        """Our duplicate of the socket, and the address that it is to be connected to. Raises OSError."""
        process = _process_of(request.thread)
        pidfd = os.pidfd_open(process)
        stack.callback(os.close, pidfd)
        ours = stack.enter_context(socket.socket(fileno=descriptor_of(pidfd, request.descriptor)))
        if not 2 <= request.length <= _MAX_ADDRESS:
            raise OSError(errno.EINVAL, "no address")
        with Path(f"/proc/{request.thread}/mem").open("rb", buffering=0) as memory:
            address = os.pread(memory.fileno(), request.length, request.address)
        if len(address) != request.length:
            raise OSError(errno.EFAULT, "no address")
        if ours.family == socket.AF_UNIX:
            return ours, self._unix_address(request, address, stack)
        if ours.family not in {socket.AF_INET, socket.AF_INET6}:
            raise OSError(errno.EACCES, "no internet socket")
        return ours, address

    def _unix_address(self, request: _Request, address: bytes, stack: ExitStack) -> bytes:
        family, name = struct.unpack("=H", address[:2])[0], address[2:]
        if family != socket.AF_UNIX or not name:
            raise OSError(errno.EINVAL, "no unix address")
        if name[0] == 0:
            if not self._abstract:
                raise OSError(errno.EACCES, "it may belong to the machine")
            return address
        path = os.path.join(os.readlink(f"/proc/{request.thread}/cwd").encode(), name.split(b"\0")[0])  # noqa: PTH115, PTH118  bytes
        root = os.open(f"/proc/{request.thread}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, root)
        found = open_within(root, path, os.O_PATH | os.O_CLOEXEC)
        stack.callback(os.close, found)
        if not stat.S_ISSOCK(os.fstat(found).st_mode):
            raise OSError(errno.ECONNREFUSED, "no socket")
        if filesystem_type(found) != _TMPFS or os.fstat(found).st_dev in _own_devices():
            raise OSError(errno.EACCES, "it lies outside the sandbox")
        # What was looked at, not what now has its name.
        return struct.pack("=H", socket.AF_UNIX) + f"/proc/self/fd/{found}\0".encode()

    def _connect(self, request: _Request, ours: socket.socket, address: bytes) -> None:
        """Connect, unless what was looked at meanwhile belongs to another process, and answer."""
        code = 0
        try:
            self._control(_IS_VALID, struct.pack("<Q", request.id))
            connect(ours.fileno(), address)
        except OSError as error:
            code = error.errno or errno.EACCES
        self._answer(request, code)

    def _answer(self, request: _Request, code: int) -> None:
        try:
            self._control(_SEND, _ANSWER.pack(request.id, 0, -code, 0))
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def _control(self, operation: int, argument: bytes) -> None:
        with self._open:
            if self._listener < 0:
                raise OSError(errno.EBADF, "closed")
            fcntl.ioctl(self._listener, operation, argument)


def _process_of(thread: int) -> int:
    """The process a thread belongs to, both numbered as here. Raises OSError."""
    lines = Path(f"/proc/{thread}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Tgid:")), 0)


def _own_devices() -> set[int]:
    """The file systems that are mounted where this process runs, as st_dev has them."""
    numbers = (line.split()[2] for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines())
    return {os.makedev(*map(int, number.split(":"))) for number in numbers}


@lru_cache(maxsize=1)
def can_answer() -> bool:
    """Tell whether this kernel lets us answer for the processes we start."""
    tried: list[bool] = []

    def attempt() -> None:
        try:
            no_new_privileges()
            os.close(filter_with_listener(notifying_filter()))
            pidfd = os.pidfd_open(os.getpid())
            os.close(descriptor_of(pidfd, pidfd))
            os.close(pidfd)
            tried.append(True)
        except (OSError, KeyError, AttributeError):
            tried.append(False)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return tried == [True]
