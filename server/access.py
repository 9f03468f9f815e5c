"""Access control: only programs on this machine, pages it serves, and Studio's page may use the server.

The server has no password, and any page open in a browser can send requests to a local address.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketClose

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STUDIO = frozenset({"", "https://smith.langchain.com", "https://eu.smith.langchain.com"})
"""Origins of Studio's page. An empty origin means that the client is a program, not a page."""
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
CLOSED = ("/deploy", "/internal")
"""Undocumented paths of LangGraph's server: one uploads the working folder, others reset the server."""
REFUSAL = "access denied: only programs and pages on this machine and LangGraph Studio may use this server"


class LocalOnly:
    """Refuse requests from pages of other origins, requests for another host name, and closed paths."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on one request or websocket, or refuse it with 403."""
        if scope["type"] == "lifespan" or is_allowed(scope["path"], dict(scope["headers"])):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008, REFUSAL)(scope, receive, send)
        else:
            await PlainTextResponse(REFUSAL, 403)(scope, receive, send)


def is_allowed(path: str, headers: dict[bytes, bytes]) -> bool:
    """Return whether a request is allowed. Browsers send the page's origin with every request that changes data."""
    origin, host = headers.get(b"origin", b"").decode("latin-1"), headers.get(b"host", b"").decode("latin-1")
    if path.startswith(CLOSED):
        return False
    return _name(f"//{host}") in LOCAL and (origin in STUDIO or _name(origin) in LOCAL)


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


app = Starlette(middleware=[Middleware(LocalOnly)])
