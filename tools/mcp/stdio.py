"""The connection to a server started as a process: one JSON-RPC message per line; other output is ignored.

The library's reader rejoins a long line for every chunk that arrives, which takes minutes for 100 MB.
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
"""Maximum size of a message."""
CHUNK = 65_536
_HEAD = 4_096
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18})')
_SECONDS_TO_END = 2.0
_ALLOWED = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"})
_ALLOWED_PREFIXES = ("LC_", "XDG_", "UV_", "PIP_", "NPM_CONFIG_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_")


@dataclass
class ServerOutput:
    """A server's other output: the last lines of its stderr, and the number of ignored lines of its stdout."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    noise: int = 0


@dataclass(frozen=True)
class OversizedLine:
    """The beginning of a line that is over the size limit."""

    head: bytes
    size: int


class LineSplitter:
    """Splits a byte stream into lines. A line over `max_bytes` is not kept in memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | OversizedLine]:
        """Yield the lines that end in this chunk."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece)
            yield self._take_line()
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._max_bytes:
            self._pieces.append(piece)
        elif len(self._pieces) != 1:
            self._pieces = [b"".join([*self._pieces, piece])[:_HEAD]]

    def _take_line(self) -> bytes | OversizedLine:
        whole, size = b"".join(self._pieces), self._size
        self._pieces, self._size = [], 0
        return whole if size <= self._max_bytes else OversizedLine(whole[:_HEAD], size)


@asynccontextmanager
async def stdio_streams(server: McpServer, output: ServerOutput) -> AsyncIterator[tuple[Any, Any, asyncio.Event]]:
    """Start the server and yield the session's streams and the event of its exit.

    The process is terminated at the end of the block. Raises OSError when it cannot be started.
    """
    import anyio

    process = await asyncio.create_subprocess_exec(
        server.command or "",
        *server.args,
        env={**await asyncio.to_thread(server_environment, os.environ), **server.env},
        cwd=server.cwd or await asyncio.to_thread(_home),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    incoming_sender, incoming = anyio.create_memory_object_stream[Any](0)
    outgoing, outgoing_receiver = anyio.create_memory_object_stream[Any](0)
    ended = asyncio.Event()
    tasks = [
        asyncio.create_task(_read(process, incoming_sender, output, ended)),
        asyncio.create_task(_write(process, outgoing_receiver)),
        asyncio.create_task(_listen(process, output)),
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
        for stream in (incoming_sender, incoming, outgoing, outgoing_receiver):
            stream.close()


def _home() -> str:
    """Return the folder of servers that name none. In the workspace, they would run what a sandboxed command put there.

    python -m, npx, uv and uvx load modules, packages and settings from the folder they run in.
    """
    home = os.path.expanduser("~")  # noqa: PTH111
    return home if os.path.isdir(home) else "/"  # noqa: PTH112  is_dir() may raise


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server: paths, locale and proxies, but no secrets."""
    secret = environment_secrets(environ)
    return {
        name: value
        for name, value in child_environment(environ, uv_links(), sandboxed=False).items()
        if name not in secret
        and "AUTH" not in name.upper()
        and (name in _ALLOWED or name.upper().startswith(_ALLOWED_PREFIXES))
    }


async def _read(
    process: asyncio.subprocess.Process, incoming_sender: Any, output: ServerOutput, ended: asyncio.Event
) -> None:
    import anyio

    frames = LineSplitter(MAX_BYTES)
    try:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while chunk := await _require_pipe(process.stdout).read(CHUNK):
                for line in frames.feed(chunk):
                    message = _too_long_error(line) if isinstance(line, OversizedLine) else _message(line)
                    if message is None:
                        output.noise += bool(line)
                    else:
                        await incoming_sender.send(message)
    finally:
        incoming_sender.close()
        ended.set()


def _require_pipe(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
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


def _too_long_error(line: OversizedLine) -> "SessionMessage | None":
    """Return the error that replaces a response that is too long, or None when it has no request id."""
    from mcp.shared.message import SessionMessage
    from mcp.types import INTERNAL_ERROR, ErrorData, JSONRPCError, JSONRPCMessage

    if (id := _ID.search(line.head)) is None:
        return None
    message = f"the response has {line.size:,} bytes, but the limit is {MAX_BYTES:,}; request less"
    error = ErrorData(code=INTERNAL_ERROR, message=message)
    return SessionMessage(JSONRPCMessage(JSONRPCError(jsonrpc="2.0", id=int(id[1]), error=error)))


async def _write(process: asyncio.subprocess.Process, outgoing_receiver: Any) -> None:
    stdin = process.stdin
    if stdin is None:
        return
    with suppress(ConnectionError):  # it exited; the reader reports that
        async for message in outgoing_receiver:
            stdin.write(message.message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n")
            await stdin.drain()


async def _listen(process: asyncio.subprocess.Process, output: ServerOutput) -> None:
    frames = LineSplitter(_HEAD)
    while chunk := await _require_pipe(process.stderr).read(CHUNK):
        for line in frames.feed(chunk):
            text = line.head if isinstance(line, OversizedLine) else line
            output.lines.append(text.decode("utf-8", "replace"))


async def _end(process: asyncio.subprocess.Process, *, patient: bool) -> None:
    """Close stdin, which asks the server to exit; otherwise terminate and then kill it with its children.

    A server that failed is killed at once.
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
