"""Listening sockets in a sandbox's network namespace, opened by a sandbox/listener_process.py process."""

import atexit
import os
import socket
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

_PROGRAM = (Path(__file__).parent / "listener_process.py").read_text(encoding="utf-8")
_MAX_SOCKETS = 64
_SECONDS = 30


class _Opener:
    """The listener process and the channel to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_SECONDS)
        atexit.register(self._channel.close)
        python = os.path.realpath(sys.executable)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        streams = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)]
        with remote:
            os.set_inheritable(remote.fileno(), True)
            argv = [python, "-I", "-S", "-c", _PROGRAM, str(remote.fileno())]
            os.posix_spawn(python, argv, {}, file_actions=streams)
        os.close(null)

    def open(self, process: int, ports: Sequence[int]) -> list[socket.socket]:
        with self._lock:
            self._channel.send(" ".join(map(str, (process, *ports))).encode())
            answer, descriptors, _, _ = socket.recv_fds(self._channel, 1024, _MAX_SOCKETS)
        if not descriptors:
            raise OSError(f"cannot listen in the sandbox: {answer.decode(errors='replace') or 'the process has ended'}")
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]


@lru_cache(maxsize=1)
def _opener(_process: int) -> _Opener:
    """Return this process's opener; a forked process starts its own."""
    return _Opener()


def start_listener_process() -> None:
    """Start the listener process early, so that it is ready for the first sandbox."""
    _opener(os.getpid())


def open_listeners(process: int, ports: Sequence[int]) -> list[socket.socket]:
    """Open sockets on the loopback interface of the network namespace of `process`, which has its own user namespace.

    Raises:
        OSError: the process has ended or its namespace cannot be entered.
    """
    return _opener(os.getpid()).open(process, ports)
