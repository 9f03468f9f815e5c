"""Serve a session on the standard streams of this process, for the program that started it."""

import asyncio
import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from ml_intern.session.wire.current import CurrentState
from ml_intern.session.wire.host import SessionHost

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session

CHUNK = 65_536


class StandardStreams:
    """The standard input and output of this process as a socket. `ended` is set when the output is closed.

    Everything else in this process, and its children, get an empty input, and the error output as their output.
    """

    def __init__(self, stdin: int, stdout: int) -> None:
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._own, self._other = socket.socketpair()
        self._stdout = stdout
        self._reading = threading.Thread(target=self._read, args=(stdin,))
        self._writing = threading.Thread(target=self._copy_out)
        self._reading.daemon = self._writing.daemon = True  # a read of the terminal or of a pipe cannot be ended

    @classmethod
    def take(cls) -> Self:
        """Take the standard streams."""
        stdin, stdout, null = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.close(null)
        return cls(stdin, stdout)

    async def open(self, limit: int = CHUNK) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start reading and writing. `limit` is the longest line that the reader can return, in bytes."""
        self._reading.start()
        self._writing.start()
        return await asyncio.open_unix_connection(sock=self._other, limit=limit)

    async def close(self) -> None:
        """Wait until everything was written."""
        await asyncio.to_thread(self._writing.join)

    def refuse(self, line: bytes) -> None:
        """Write a line instead of opening."""
        self._write(line)

    def _read(self, stdin: int) -> None:
        with suppress(OSError):  # the session has ended
            while chunk := os.read(stdin, CHUNK):
                self._own.sendall(chunk)
            self._own.shutdown(socket.SHUT_WR)

    def _copy_out(self) -> None:
        with suppress(OSError):  # the other program has closed its end
            while chunk := self._own.recv(CHUNK):
                self._write(chunk)
        self._own.close()
        with suppress(RuntimeError):  # this process is ending, and the loop is closed
            self._loop.call_soon_threadsafe(self.ended.set)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._stdout, view) :]


async def serve_streams(session: "Session", streams: StandardStreams) -> None:
    """Serve a session until the input ends or the session is closed. Then close the session."""
    current, events = CurrentState(), session.events()
    first = await anext(events)
    host = SessionHost(session, first.seq - 1, current)

    async def follow() -> None:
        current.take(first)
        host.take(first)
        async for event in events:
            current.take(event)
            host.take(event)

    following = asyncio.create_task(follow())

    async def close() -> None:
        await session.close()
        await following

    serving = asyncio.create_task(host.serve(*await streams.open(), at_end=close))
    ending = asyncio.create_task(streams.ended.wait())
    await asyncio.wait({following, serving, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    await close()
    await host.close()
    await serving
    await streams.close()
