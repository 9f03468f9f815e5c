"""One server: a task owns its session, calls borrow it. A dead one is started again once, by the next call."""

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
from ml_intern.tools.mcp.errors import said_by
from ml_intern.tools.mcp.http import http_streams
from ml_intern.tools.mcp.stdio import Printed, stdio_streams
from ml_intern.tools.mcp.tasks import NEEDED, call_as_task

if TYPE_CHECKING:
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool
    from mcp import ClientSession

Status = Literal["starting", "ready", "failed", "ended"]
PING_SECONDS = 5.0
MAX_TOOLS = 200
_GRACE_SECONDS = 10.0
_arguments: ContextVar[Mapping[str, Any]] = ContextVar("arguments of an MCP call")


@dataclass
class McpSession:
    """An open session and what it offers."""

    client: "ClientSession"
    ended: asyncio.Event
    tools: "dict[str, BaseTool]" = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """The server said that its tools are other ones now."""
    doubtful: bool = False
    """A call got no answer in time: whether it still answers is asked before the next."""


class Connection:
    """A server under its name. `on_tools` is awaited whenever its tools were read."""

    def __init__(self, name: str, server: McpServer, on_tools: "Callable[[Connection], Awaitable[None]]") -> None:
        self.name = name
        self.server = server
        self.status: Status = "starting"
        self.problem = ""
        self.tools: Mapping[str, BaseTool] = {}
        self.printed = Printed()
        self._on_tools = on_tools
        self._session: McpSession | None = None
        self._opened = asyncio.Event()
        self._stop = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    def start(self) -> None:
        """Begin to connect."""
        self.status, self._opened, self._stop = "starting", asyncio.Event(), asyncio.Event()
        self._owner = asyncio.create_task(self._own(), name=f"mcp {self.name}")

    async def opened(self) -> None:
        """Wait until it is connected, or known not to be."""
        await self._opened.wait()

    async def close(self) -> None:
        """End the session and the process."""
        self._stop.set()
        if self._owner is not None:
            if not self._opened.is_set():
                self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)
            self._owner = None

    async def call(self, tool: str, args: Mapping[str, Any]) -> "ToolMessage":
        """The server's answer to one call. It is sent once, whatever happens.

        Raises:
            ToolError: no connection, no answer in time, the server ended, or it refused the call as such.
        """
        session = await self._live()
        if tool not in session.tools:
            raise ToolError(f"the server {self.name} no longer has the tool {tool}")
        asked = asyncio.create_task(self._asked(session.tools[tool], args))
        ended = asyncio.create_task(session.ended.wait())
        try:
            await asyncio.wait({asked, ended}, timeout=self.server.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return self._answer(asked, session)
            raise ToolError(self._unanswered(session))
        finally:
            for task in (asked, ended):
                task.cancel()
            await asyncio.gather(asked, ended, return_exceptions=True)

    async def _asked(self, tool: "BaseTool", args: Mapping[str, Any]) -> "ToolMessage":
        _arguments.set(args)
        message: ToolMessage = await tool.ainvoke({"name": tool.name, "args": {}, "id": "mcp", "type": "tool_call"})
        return message

    def _answer(self, asked: "asyncio.Task[ToolMessage]", session: McpSession) -> "ToolMessage":
        try:
            return asked.result()
        except Exception as error:
            if "session terminated" in str(error).lower():  # it answers so instead of running the call
                session.ended.set()
                raise ToolError(f"the server {self.name} was started anew meanwhile; call it again") from error
            if session.ended.is_set() or "connection closed" in str(error).lower():
                session.ended.set()
                raise ToolError(self._unanswered(session)) from error
            raise ToolError(f"the server {self.name} did not carry it out: {said_by(error)}") from error

    def _unanswered(self, session: McpSession) -> str:
        again = "it may have run in part. The next call starts the server again"
        if session.ended.is_set():
            return f"the server {self.name} ended while this ran{self._last_words()}; {again}"
        session.doubtful = True
        return f"the server {self.name} did not answer within {self.server.timeout_s:g} s; it may have run in part"

    def _last_words(self) -> str:
        last = next((line.strip() for line in reversed(self.printed.lines) if line.strip()), "")
        return f" (its last words: {last[:200]})" if last else ""

    async def _live(self) -> McpSession:
        """The session at hand, or one more attempt at it."""
        async with self._opening:
            if self._owner is not None:
                await self.opened()
            if (session := self._session) is not None and session.doubtful:
                session.doubtful = not await self._answers(session)
            if session is not None and not session.ended.is_set() and not session.doubtful:
                return session
            await self.close()
            self.start()
            await self.opened()
            if self._session is None:
                raise ToolError(f"the server {self.name} is not there: {self.problem}")
            return self._session

    async def _answers(self, session: McpSession) -> bool:
        try:
            await asyncio.wait_for(session.client.send_ping(), min(PING_SECONDS, self.server.timeout_s))
        except Exception:  # noqa: BLE001 whatever it is: no answer
            return False
        return True

    # --- the owner task

    async def _own(self) -> None:
        try:
            await self._hold()
            self.status, self.problem = "ended", f"it ended{self._last_words()}"
        except Exception as error:  # noqa: BLE001 a server may fail in every way; the line says how
            why = f"no answer within {self.server.startup_timeout_s:g} s" if _timed_out(error) else said_by(error)
            self.status, self.problem = "failed", f"{why}{self._last_words()}"
        finally:
            if self._session is not None:
                self._session.ended.set()
                self._session = None
            self._opened.set()

    async def _hold(self) -> None:
        """Open the session, keep it until it ends or is to, and close it: all in this task."""
        opening = asyncio.timeout(self.server.startup_timeout_s)
        async with opening, self._session_of() as session:
            await session.client.initialize()
            await self._read_tools(session)
            opening.reschedule(None)
            self._session = session
            self.status, self.problem = "ready", ""
            self._opened.set()
            while await self._go_on(session):
                await self._read_tools(session)

    async def _go_on(self, session: McpSession) -> bool:
        """Wait for the end (False), or for other tools (True)."""
        waits = [asyncio.create_task(event.wait()) for event in (self._stop, session.ended, session.changed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        return not self._stop.is_set() and not session.ended.is_set()

    @asynccontextmanager
    async def _session_of(self) -> AsyncIterator[McpSession]:
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
            self.printed = Printed(deque(maxlen=20))
            async with stdio_streams(self.server, self.printed) as streams:
                yield streams

    async def _read_tools(self, session: McpSession) -> None:
        from langchain_mcp_adapters.tools import load_mcp_tools

        session.changed.clear()
        async with asyncio.timeout(self.server.startup_timeout_s):
            loaded = await load_mcp_tools(
                session.client, server_name=self.name, tool_interceptors=[partial(_as_asked, session.client)]
            )
        session.tools = {tool.name: tool for tool in loaded[:MAX_TOOLS]}
        self.tools = session.tools
        await self._on_tools(self)


async def _as_asked(client: "ClientSession", request: Any, handler: Any) -> Any:
    """Send the arguments as they were given, whatever their names: langchain would take `config` for its own.

    Sound becomes a line of text, which the conversion has no form for.
    """
    from mcp import McpError
    from mcp.types import AudioContent, CallToolResult, TextContent

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
        TextContent(type="text", text=f"[sound, {one.mimeType}, {len(one.data) * 3 // 4:,} bytes: not shown]")
        if isinstance(one, AudioContent)
        else one
        for one in result.content
    ]
    return result.model_copy(update={"content": content})


def _timed_out(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_timed_out, error.exceptions))
    return isinstance(error, TimeoutError)
