"""Child processes of a program that uses ml-intern: started on their own, or forked from one that has imported it all.

Only the standard library is used.
"""

import asyncio
import atexit
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

CHUNK: Final = 65_536
LENGTH: Final = struct.Struct("!I")
"""The length of a request, which precedes it."""
CAN_FORK: Final = sys.platform == "linux"
"""Elsewhere a fork of a process that has loaded system libraries is not safe."""


class ChildProcess:
    """A process, connected to this one by its standard input and output."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        process: asyncio.subprocess.Process | None = None,
    ) -> None:
        self.reader, self.writer = reader, writer
        self._process = process

    async def wait(self) -> None:
        """Wait until the process has ended. Call it when nothing else reads from it."""
        if self._process is not None:
            await self._process.wait()
            return
        with suppress(OSError):
            while await self.reader.read(CHUNK):
                pass


class ChildProcesses:
    """Starts processes that run `main` of a module. `detached`: in sessions of their own, out of reach of Ctrl-C.

    The second one and all later ones are forks, which are ready much sooner and share memory.
    """

    def __init__(self, *, detached: bool = False) -> None:
        self._detached = detached
        self._servers: list[_ForkServer] = []
        self._started = 0

    def warm_up(self) -> None:
        """Import everything now, so that the first process is a fork, too."""
        self._started += 1
        if CAN_FORK:
            self._server()

    async def start(self, module: str, *args: str) -> ChildProcess:
        """Start a process. Raises OSError."""
        self._started += 1
        if CAN_FORK and self._started > 1:
            with suppress(OSError):  # the process that forks was killed
                return await self._forked(module, args)
        return await self._direct(module, args)

    def close(self) -> None:
        """Fork no more. Processes that were started continue."""
        atexit.unregister(self.close)
        while self._servers:
            self._servers.pop().end()

    def _server(self) -> "_ForkServer":
        """Return a process whose forks are like processes that are started now."""
        for server in self._servers:
            if not server.fits():
                server.dismiss()
        self._servers = [server for server in self._servers if server.is_running]
        if not self._servers or not self._servers[-1].fits():
            atexit.register(self.close)
            self._servers.append(_ForkServer(detached=self._detached))
        return self._servers[-1]

    async def _forked(self, module: str, args: tuple[str, ...]) -> ChildProcess:
        own, other = socket.socketpair()
        with other:
            order = {"module": module, "args": args, "detached": self._detached}
            try:
                await asyncio.to_thread(self._server().send, order, other)
            except BaseException:
                own.close()
                raise
        own.setblocking(False)
        return ChildProcess(*await asyncio.open_unix_connection(sock=own))

    async def _direct(self, module: str, args: tuple[str, ...]) -> ChildProcess:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", module, *args, stdin=pipe, stdout=pipe, start_new_session=self._detached
        )
        if process.stdout is None or process.stdin is None:
            raise OSError("the process has no streams")
        return ChildProcess(process.stdout, process.stdin, process)


class _ForkServer:
    """The process of ml_intern/fork_server.py. It ends with this one."""

    def __init__(self, *, detached: bool) -> None:
        self._made_in = _surroundings()
        self._requests, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ml_intern.fork_server"],
                stdin=other.fileno(), stdout=subprocess.DEVNULL, start_new_session=detached,
            )  # fmt: skip
        self._sending = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def fits(self) -> bool:
        """Return whether it runs, and this program, its environment and its folder are those it was started in."""
        return self.is_running and self._made_in == _surroundings()

    def send(self, order: object, channel: socket.socket) -> None:
        """Order a fork that is connected to the channel. Raises OSError."""
        body = json.dumps(order).encode()
        with self._sending:
            socket.send_fds(self._requests, [LENGTH.pack(len(body))], [channel.fileno()])
            self._requests.sendall(body)

    def dismiss(self) -> None:
        """End the process when it has done what was ordered."""
        self._requests.close()

    def end(self) -> None:
        """End the process."""
        self.dismiss()
        if self._made_in[0] == os.getpid():
            self._process.kill()
            self._process.wait()


def _surroundings() -> tuple[int, str, dict[str, str]]:
    try:
        folder = str(Path.cwd())
    except FileNotFoundError:
        folder = ""
    return os.getpid(), folder, dict(os.environ)
