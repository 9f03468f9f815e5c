"""Listening sockets in the network of a sandbox, opened from outside by sandbox/listener_process.py."""

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
    """The process and the channel to it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_SECONDS)
        atexit.register(self._channel.close)
        python = os.path.realpath(sys.executable)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        streams = [(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)]
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            argv = [python, "-I", "-S", "-c", _PROGRAM, str(theirs.fileno())]
            os.posix_spawn(python, argv, {}, file_actions=streams)
        os.close(null)

    def open(self, process: int, ports: Sequence[int]) -> list[socket.socket]:
        with self._turn:
            self._channel.send(" ".join(map(str, (process, *ports))).encode())
            answer, descriptors, _, _ = socket.recv_fds(self._channel, 1024, _MAX_SOCKETS)
        if not descriptors:
            raise OSError(f"no sockets in the sandbox: {answer.decode(errors='replace') or 'the process is gone'}")
        return [socket.socket(fileno=descriptor) for descriptor in descriptors]


@lru_cache(maxsize=1)
def _opener(_process: int) -> _Opener:
    """That of this process: a fork has to start its own."""
    return _Opener()


def warm_up() -> None:
    """Start the process, so that it is ready when the first sandbox is."""
    _opener(os.getpid())


def open_listeners(process: int, ports: Sequence[int]) -> list[socket.socket]:
    """Sockets that listen on the loopback of the network that `process` is in, which has a user namespace of its own.

    Raises:
        OSError: it is gone, or may not be entered.
    """
    return _opener(os.getpid()).open(process, ports)
