"""The unix socket of an open thread: its place in the data folder, who may connect, and its removal."""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.paths import private_folder
from ml_intern.session.wire.current import CurrentState
from ml_intern.store.lock import lock_name, unlocked
from ml_intern.store.store import LOCKS

if TYPE_CHECKING:
    from ml_intern.graph.events import Event
    from ml_intern.session.protocol import Session
    from ml_intern.session.wire.host import SessionHost

SOCKETS = "sockets"
MAX_PATH = 104
"""Length of a socket's path that every system accepts, in bytes."""
BACKLOG = 64
ROOT = 0
MAX_ANCESTORS = 100


def socket_name(thread_id: str) -> str:
    """Return the file name of a thread's socket."""
    return f"{lock_name(thread_id)}.sock"


@contextmanager
def address(folder: Path, name: str) -> Iterator[str]:
    """Provide the address of a socket. A path that is too long goes through a descriptor of its folder.

    Raises OSError if the folder does not exist, or the path is too long for a system without /proc.
    """
    path = str(folder / name)
    if len(os.fsencode(path)) < MAX_PATH or sys.platform != "linux":
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def connect(home: Path, thread_id: str) -> socket.socket:
    """Connect to the process that has a thread open. Raises OSError if there is none, or it does not serve."""
    with ExitStack() as stack:
        channel = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        channel.connect(stack.enter_context(address(home / SOCKETS, socket_name(thread_id))))
        channel.setblocking(False)
        stack.pop_all()
        return channel


class ThreadSocket:
    """Serves a session on the socket of its current thread. The host is created for the first client."""

    def __init__(self, home: Path) -> None:
        self._folder, self._locks = home / SOCKETS, home / LOCKS
        self._session: Session | None = None
        self._host: SessionHost | None = None
        self._listening: socket.socket | None = None
        self._bound: tuple[str, int] | None = None
        self._seq = 0
        self._current = CurrentState()
        self._clients: set[asyncio.Task[None]] = set()

    def take(self, event: "Event") -> None:
        """Follow the session to another thread, and pass the event to the watchers."""
        self._seq = event.seq
        self._current.take(event)
        if self._host is not None:
            self._host.take(event)
        if event.type == "ready" and self._session is not None:
            self._serve(event.thread_id)

    def open(self, session: "Session") -> None:
        """Serve the session. Without a socket (a full disk, a system without them) the thread is used as before."""
        self._session = session
        self._serve(session.thread_id)

    def withdraw(self) -> None:
        """Accept no more clients, and remove the socket unless another process put its own there."""
        self._session = None
        self._stop()

    async def close(self) -> None:
        """End all connections."""
        self.withdraw()
        if self._host is not None:
            await self._host.close()
        await asyncio.gather(*self._clients, return_exceptions=True)

    # --- the socket

    def _serve(self, thread_id: str) -> None:
        name = socket_name(thread_id)
        if self._bound is not None and self._bound[0] == name:
            return
        self._stop()
        with suppress(OSError):
            self._listening, inode = _listen(self._folder, name)
            self._bound = name, inode
            asyncio.get_running_loop().add_reader(self._listening, self._accept)
            _sweep(self._folder, self._locks)

    def _stop(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        if self._bound is not None:
            (name, inode), self._bound = self._bound, None
            with suppress(OSError):
                if (self._folder / name).lstat().st_ino == inode:
                    (self._folder / name).unlink()

    # --- clients

    def _accept(self) -> None:
        listening, loop = self._listening, asyncio.get_running_loop()
        if listening is None:
            return
        try:
            channel, _ = listening.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptors are left; without a pause this would be called again at once
            loop.remove_reader(listening)
            loop.call_later(1.0, self._resume, listening)
            return
        if not _is_own(channel):
            channel.close()
            return
        channel.setblocking(False)
        task = asyncio.create_task(self._connected(channel))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    def _resume(self, listening: socket.socket) -> None:
        if self._listening is listening:
            asyncio.get_running_loop().add_reader(listening, self._accept)

    async def _connected(self, channel: socket.socket) -> None:
        if self._session is None:
            channel.close()
            return
        if self._host is None:
            from ml_intern.session.wire.host import SessionHost

            self._host = SessionHost(self._session, self._seq, self._current)
        reader, writer = await asyncio.open_unix_connection(sock=channel)
        await self._host.serve(reader, writer)


def _listen(folder: Path, name: str) -> tuple[socket.socket, int]:
    """Listen in `folder` and return the socket and its inode.

    It replaces the socket of a killed process: who calls this has locked the thread. It gets its name when it already
    listens, so that a client never finds it without a listener. Raises OSError.
    """
    private_folder(folder)
    unfinished = f"{name}.{os.getpid()}"
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        with address(folder, unfinished) as path:
            listening.bind(path)
        (folder / unfinished).chmod(0o600)
        listening.listen(BACKLOG)
        listening.setblocking(False)
        inode = (folder / unfinished).rename(folder / name).lstat().st_ino
        stack.pop_all()
        return listening, inode


def _sweep(folder: Path, locks: Path) -> None:
    """Remove the sockets of killed processes: those of threads that no process has locked."""
    for path in folder.glob("*.sock"):
        with suppress(OSError), unlocked(locks / f"{path.stem}.lock") as is_free:
            if is_free:
                path.unlink()


def _is_own(channel: socket.socket) -> bool:
    """Return whether the client is a process of this user or of root that this process did not start.

    A command that the model runs must not answer its own approval. Systems without SO_PEERCRED rely on the mode of
    the folder.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    pid, uid, _ = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return uid in {os.getuid(), ROOT} and not _is_descendant(pid)


def _is_descendant(pid: int) -> bool:
    """Return whether this process started `pid`, directly or not."""
    seen = 0
    while pid > 1 and seen < MAX_ANCESTORS:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (OSError, ValueError):  # it has ended
            return False
        if pid == os.getpid():
            return True
        seen += 1
    return False
