"""The connection to a server that we start: one JSON-RPC message a line, whatever else it prints is passed over.

The library's own reader joins a long line again with every piece of it that arrives, which for 100 MB takes minutes.
"""

import asyncio
import os
import re
import signal
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_intern.configs.mcp_servers import McpServer
from ml_intern.execution.process.environment import child_environment, uv_links
from ml_intern.safety.secrets.known import environment_secrets

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

MAX_BYTES = 16_000_000
"""Of one message."""
CHUNK = 65_536
_HEAD = 4_096
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18})')
_SECONDS_TO_END = 2.0
_KEPT = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"})
_KEPT_BEGINNINGS = ("LC_", "XDG_", "UV_", "PIP_", "NPM_CONFIG_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_")


@dataclass
class Printed:
    """What a server wrote besides messages: the last lines of its stderr, and how many lines of noise."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    noise: int = 0


@dataclass(frozen=True)
class TooLong:
    """A message over the limit, all of it but its beginning let go of."""

    head: bytes
    size: int


class Frames:
    """Cuts a stream of bytes into lines. What is over `most` bytes is never held."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLong]:
        """The lines that end in this chunk."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece)
            yield self._taken()
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._most:
            self._pieces.append(piece)
        elif len(self._pieces) != 1:
            self._pieces = [b"".join([*self._pieces, piece])[:_HEAD]]

    def _taken(self) -> bytes | TooLong:
        whole, size = b"".join(self._pieces), self._size
        self._pieces, self._size = [], 0
        return whole if size <= self._most else TooLong(whole[:_HEAD], size)


@asynccontextmanager
async def stdio_streams(server: McpServer, printed: Printed) -> AsyncIterator[tuple[Any, Any, asyncio.Event]]:
    """Start the server: the streams a session reads and writes, and the event that it has ended.

    The process is gone when this is left. Raises OSError when it cannot be started.
    """
    import anyio

    process = await asyncio.create_subprocess_exec(
        server.command or "",
        *server.args,
        env={**await asyncio.to_thread(server_environment, os.environ), **server.env},
        cwd=server.cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    into, incoming = anyio.create_memory_object_stream[Any](0)
    outgoing, out_of = anyio.create_memory_object_stream[Any](0)
    ended = asyncio.Event()
    tasks = [
        asyncio.create_task(_read(process, into, printed, ended)),
        asyncio.create_task(_write(process, out_of)),
        asyncio.create_task(_listen(process, printed)),
    ]
    patient = False
    try:
        yield incoming, outgoing, ended
        patient = True
    finally:
        await asyncio.shield(_end(process, patient=patient))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (into, incoming, outgoing, out_of):
            stream.close()


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of our environment a server is started with: where programs and homes are, and no secret of any kind."""
    secret = environment_secrets(environ)
    return {
        name: value
        for name, value in child_environment(environ, uv_links()).items()
        if name not in secret
        and "AUTH" not in name.upper()
        and (name in _KEPT or name.upper().startswith(_KEPT_BEGINNINGS))
    }


async def _read(process: asyncio.subprocess.Process, into: Any, printed: Printed, ended: asyncio.Event) -> None:
    import anyio

    frames = Frames(MAX_BYTES)
    try:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while chunk := await _of(process.stdout).read(CHUNK):
                for line in frames.feed(chunk):
                    message = _refused(line) if isinstance(line, TooLong) else _message(line)
                    if message is None:
                        printed.noise += bool(line)
                    else:
                        await into.send(message)
    finally:
        into.close()
        ended.set()


def _of(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if stream is None:
        raise RuntimeError("the process was started without a pipe")
    return stream


def _message(line: bytes) -> "SessionMessage | None":
    from mcp.shared.message import SessionMessage
    from mcp.types import JSONRPCMessage
    from pydantic import ValidationError

    if not line.lstrip().startswith(b"{"):
        return None
    try:
        return SessionMessage(JSONRPCMessage.model_validate_json(line))
    except ValidationError:
        return None


def _refused(long: TooLong) -> "SessionMessage | None":
    """The error that stands for an answer that was too long; None when it names no request."""
    from mcp.shared.message import SessionMessage
    from mcp.types import INTERNAL_ERROR, ErrorData, JSONRPCError, JSONRPCMessage

    if (id := _ID.search(long.head)) is None:
        return None
    said = f"the answer has {long.size:,} bytes and more than {MAX_BYTES:,} are not taken; ask for less"
    error = ErrorData(code=INTERNAL_ERROR, message=said)
    return SessionMessage(JSONRPCMessage(JSONRPCError(jsonrpc="2.0", id=int(id[1]), error=error)))


async def _write(process: asyncio.subprocess.Process, out_of: Any) -> None:
    stdin = process.stdin
    if stdin is None:
        return
    with suppress(ConnectionError):  # it ended: the reader says so
        async for message in out_of:
            stdin.write(message.message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n")
            await stdin.drain()


async def _listen(process: asyncio.subprocess.Process, printed: Printed) -> None:
    frames = Frames(_HEAD)
    while chunk := await _of(process.stderr).read(CHUNK):
        for line in frames.feed(chunk):
            text = line.head if isinstance(line, TooLong) else line
            printed.lines.append(text.decode("utf-8", "replace"))


async def _end(process: asyncio.subprocess.Process, *, patient: bool) -> None:
    """Close its stdin, which is how a server is told to end; what does not listen is killed, with its children.

    A server that failed gets no time for it.
    """
    if process.stdin is not None:
        process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL) if patient else (signal.SIGKILL,):
        if number is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _SECONDS_TO_END)
            break
    with suppress(ProcessLookupError):  # its children
        os.killpg(process.pid, signal.SIGKILL)
