"""An MCP server over streamable HTTP on loopback, with tools that answer much and that redirect is asked of."""

from mcp.server.fastmcp import FastMCP
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.fakes.served import Served


class FakeMcp(Served):
    """Use as a context manager; `url` is its address. `json` makes it answer with JSON instead of events."""

    def __init__(self, *, json: bool = False) -> None:
        server = FastMCP("fake", json_response=json, log_level="CRITICAL")
        server.add_tool(self.add)
        server.add_tool(self.huge)
        self.seen: list[dict[str, str]] = []
        """The headers of every request."""
        self.redirect_to = ""
        self.status = 0
        """Answer every request with this status, when it is not 0."""
        super().__init__(self._watched(server.streamable_http_app()), lifespan="auto")

    @property
    def url(self) -> str:
        return f"http://{self.host}/mcp"

    async def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async def huge(self, count: int) -> str:
        """Answer with that many bytes."""
        return "x" * count

    def _watched(self, app: ASGIApp) -> ASGIApp:
        async def watch(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.seen.append(dict(Request(scope).headers))
                if self.redirect_to or self.status:
                    other = RedirectResponse(self.redirect_to, 307) if self.redirect_to else None
                    await (other or Response(None, self.status))(scope, receive, send)
                    return
            await app(scope, receive, send)

        return watch
