"""The connection to one MCP server. A task owns its session; a call to a dead server restarts it once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ml_intern.configs.mcp_servers import McpServer
from ml_intern.configs.version import version
from ml_intern.execution.call import ToolError
from ml_intern.safety.secrets.redaction import redact
from ml_intern.text.visible import visible
from ml_intern.tools.mcp.http import http_streams, is_hub
from ml_intern.tools.mcp.stdio import ServerOutput, stdio_streams

if TYPE_CHECKING:
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool
    from mcp import ClientSession

Status = Literal["starting", "ready", "failed", "ended", "off"]
PING_SECONDS = 5.0
MAX_TOOLS = 200
_GRACE_SECONDS = 10.0
_arguments: ContextVar[Mapping[str, Any]] = ContextVar("mcp_call_arguments")


@dataclass
class McpSession:
    """An open session with its tools."""

    client: "ClientSession"
    ended: asyncio.Event
    tools: "dict[str, BaseTool]" = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server announces that its tools have changed."""
    unresponsive: bool = False
    """A call timed out, so the server is pinged before the next one."""


class Connection:
    """A server and its session. `on_tools` is awaited whenever its tools have been read."""

    def __init__(self, name: str, server: McpServer, on_tools: "Callable[[Connection], Awaitable[None]]") -> None:
        self.name = name
        self.server = server
        self.status: Status = "starting"
        self.problem = ""
        self.tools: Mapping[str, BaseTool] = {}
        self.output = ServerOutput()
        self._on_tools = on_tools
        self._session: McpSession | None = None
        self._opened = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    def start(self) -> None:
        """Start connecting."""
        self.status, self._opened, self._stop = "starting", asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"mcp {self.name}")

    async def opened(self) -> None:
        """Wait until it is connected or has failed."""
        await self._opened.wait()

    async def close(self) -> None:
        """Close the session and end the server's process."""
        self._stop.set()
        if self._task is not None:
            if not self._opened.is_set():
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def call(self, tool: str, args: Mapping[str, Any]) -> "ToolMessage":
        """Call a tool and return the server's response. The call is sent at most once.

        Raises:
            ToolError: the server is not connected, times out, exits, or rejects the call.
        """
        session = await self._live_session()
        if tool not in session.tools:
            raise ToolError(f"the server {self.name} no longer has the tool {tool}; use another tool")
        request = asyncio.create_task(self._invoke(session.tools[tool], args))
        ended = asyncio.create_task(session.ended.wait())
        try:
            await asyncio.wait({request, ended}, timeout=self.server.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if request.done():
                return self._answer(request, session)
            raise ToolError(self._no_answer(session))
        finally:
            for task in (request, ended):
                task.cancel()
            await asyncio.gather(request, ended, return_exceptions=True)

    async def _invoke(self, tool: "BaseTool", args: Mapping[str, Any]) -> "ToolMessage":
        _arguments.set(args)
        message: ToolMessage = await tool.ainvoke({"name": tool.name, "args": {}, "id": "mcp", "type": "tool_call"})
        return message

    def _answer(self, request: "asyncio.Task[ToolMessage]", session: McpSession) -> "ToolMessage":
        try:
            return request.result()
        except Exception as error:
            if "session terminated" in str(error).lower():  # the server replies this instead of running the call
                session.ended.set()
                raise ToolError(f"the server {self.name} was restarted; repeat the call") from error
            if session.ended.is_set() or "connection closed" in str(error).lower():
                session.ended.set()
                raise ToolError(self._no_answer(session)) from error
            raise ToolError(f"the server {self.name} rejected the call: {describe_error(error)}") from error

    def _no_answer(self, session: McpSession) -> str:
        restart = "it may have run in part. The next call restarts the server"
        if session.ended.is_set():
            return f"the server {self.name} exited during the call{self._last_output()}; {restart}"
        session.unresponsive = True
        return f"the server {self.name} did not answer within {self.server.timeout_s:g} s; it may have run in part"

    def _last_output(self) -> str:
        last = next((line.strip() for line in reversed(self.output.lines) if line.strip()), "")
        return f" (last output: {last[:200]})" if last else ""

    async def _live_session(self) -> McpSession:
        """Return the open session; if there is none, connect once more."""
        async with self._opening:
            if self._task is not None:
                await self.opened()
            if (session := self._session) is not None and session.unresponsive:
                session.unresponsive = not await self._responds(session)
            if session is not None and not session.ended.is_set() and not session.unresponsive:
                return session
            await self.close()
            self.start()
            await self.opened()
            if self._session is None:
                raise ToolError(f"the server {self.name} is not available: {self.problem}")
            return self._session

    async def _responds(self, session: McpSession) -> bool:
        try:
            await asyncio.wait_for(session.client.send_ping(), min(PING_SECONDS, self.server.timeout_s))
        except Exception:  # noqa: BLE001 any error means no response
            return False
        return True

    # --- the owner task

    async def _run(self) -> None:
        try:
            await self._run_session()
            self.status, self.problem = "ended", f"it exited{self._last_output()}"
        except Exception as error:  # noqa: BLE001 any failure of a server is reported in its status
            why = (
                f"no response within {self.server.startup_timeout_s:g} s"
                if _timed_out(error)
                else describe_error(error)
            )
            # The entry for the Hub is built in, so a Hub without an MCP server is not an error.
            optional = is_hub(self.server) and is_absent(error)
            self.status = "off" if optional else "failed"
            self.problem = "this Hub has no MCP server" if optional else f"{why}{self._last_output()}"
        finally:
            if self._session is not None:
                self._session.ended.set()
                self._session = None
            self._opened.set()

    async def _run_session(self) -> None:
        """Open the session, run it until it ends or is stopped, and close it, all in one task."""
        opening = asyncio.timeout(self.server.startup_timeout_s)
        async with opening, self._open_session() as session:
            await session.client.initialize()
            await self._read_tools(session)
            opening.reschedule(None)
            self._session = session
            self.status, self.problem = "ready", ""
            self._opened.set()
            while await self._wait_for_change(session):
                await self._read_tools(session)

    async def _wait_for_change(self, session: McpSession) -> bool:
        """Wait for the end (return False) or for changed tools (return True)."""
        waits = [asyncio.create_task(event.wait()) for event in (self._stop, session.ended, session.changed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        return not self._stop.is_set() and not session.ended.is_set()

    @asynccontextmanager
    async def _open_session(self) -> AsyncIterator[McpSession]:
        from datetime import timedelta

        from mcp.types import Implementation, ServerNotification, ToolListChangedNotification

        from ml_intern.tools.mcp.client import Client

        changed = asyncio.Event()

        async def notice(message: Any) -> None:
            if isinstance(message, ServerNotification) and isinstance(message.root, ToolListChangedNotification):
                changed.set()

        async with (
            self._streams() as (incoming, outgoing, ended),
            Client(
                incoming,
                outgoing,
                read_timeout_seconds=timedelta(seconds=max(self.server.timeout_s, self.server.startup_timeout_s)),
                message_handler=notice,
                client_info=Implementation(name="ml-intern", version=version()),
            ) as client,
        ):
            yield McpSession(client, ended, changed=changed)

    @asynccontextmanager
    async def _streams(self) -> AsyncIterator[tuple[Any, Any, asyncio.Event]]:
        if self.server.is_http:
            async with http_streams(self.server) as (incoming, outgoing):
                yield incoming, outgoing, asyncio.Event()
        else:
            self.output = ServerOutput(deque(maxlen=20))
            async with stdio_streams(self.server, self.output) as streams:
                yield streams

    async def _read_tools(self, session: McpSession) -> None:
        from langchain_mcp_adapters.tools import load_mcp_tools

        session.changed.clear()
        async with asyncio.timeout(self.server.startup_timeout_s):
            loaded = await load_mcp_tools(
                session.client, server_name=self.name, tool_interceptors=[partial(_send_unchanged, session.client)]
            )
        session.tools = {tool.name: tool for tool in loaded[:MAX_TOOLS]}
        self.tools = session.tools
        await self._on_tools(self)


async def _send_unchanged(client: "ClientSession", request: Any, handler: Any) -> Any:
    """Send the arguments unchanged: langchain would consume an argument named `config`.

    Audio becomes a line of text, because the conversion does not support it.
    """
    from mcp import McpError
    from mcp.types import AudioContent, CallToolResult, TextContent

    from ml_intern.tools.mcp.client import NEEDED, call_as_task

    args = dict(_arguments.get())
    try:
        result = await handler(request.override(args=args))
    except McpError as error:
        if NEEDED not in str(error):
            raise
        result = await call_as_task(client, request.name, args)
    if isinstance(result, CallToolResult) and result.isError and NEEDED in str(result.content):
        result = await call_as_task(client, request.name, args)
    if not isinstance(result, CallToolResult):
        return result
    content = [
        TextContent(type="text", text=f"[audio, {one.mimeType}, {len(one.data) * 3 // 4:,} bytes, not shown]")
        if isinstance(one, AudioContent)
        else one
        for one in result.content
    ]
    return result.model_copy(update={"content": content})


def _timed_out(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_timed_out, error.exceptions))
    return isinstance(error, TimeoutError)


_MAX_CHARACTERS = 300
_NOT_FOUND = "Session terminated"
"""The library's error for a 404."""
_ABSENT = (404, 405, 410, 501)


def describe_error(error: BaseException) -> str:
    """Describe the cause of an error in one line, with secrets and control characters replaced."""
    cause = _cause(error)
    message = _message_for(cause) or f"{type(cause).__name__}: {cause}".removesuffix(": ")
    return visible(" ".join(redact(message).split()))[:_MAX_CHARACTERS]


def is_absent(error: BaseException) -> bool:
    """Return whether the error means that the address has no MCP server."""
    import httpx

    cause = _cause(error)
    if isinstance(cause, httpx.HTTPStatusError):
        return cause.response.status_code in _ABSENT
    return str(cause) == _NOT_FOUND


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _message_for(cause: BaseException) -> str:
    import httpx
    from mcp import McpError

    if isinstance(cause, FileNotFoundError):
        return f"program not found: {cause.filename}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, httpx.HTTPStatusError):
        status = cause.response.status_code
        if 300 <= status < 400:
            return "it redirects to another server; the redirect was not followed"
        why = {401: ": set a key in `headers`", 403: ": access denied"}.get(status, "")
        return f"it answered {status}{why}"
    if isinstance(cause, httpx.TimeoutException):
        return "it did not respond in time"
    if isinstance(cause, httpx.HTTPError):
        return f"no connection ({type(cause).__name__})"
    if not isinstance(cause, McpError):
        return ""
    return "there is no MCP server at this address" if is_absent(cause) else str(cause)
