"""Who may speak to the server: programs of this machine, pages served by it, and Studio's page.

The server has no password, and any page open in a browser can send requests to an address of this machine.
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
"""Origins of the page; no page at all is a program."""
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
CLOSED = ("/deploy", "/internal")
"""Paths that the server has besides its documented ones: one uploads the working folder, others reset the server."""
REFUSAL = "only programs and pages of this machine and LangGraph Studio may use this server"


class LocalOnly:
    """Refuse requests that a page from elsewhere sent, those for another name than this machine's, and closed paths."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request or websocket, with 403 when it is refused."""
        if scope["type"] == "lifespan" or may_speak(scope["path"], dict(scope["headers"])):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008, REFUSAL)(scope, receive, send)
        else:
            await PlainTextResponse(REFUSAL, 403)(scope, receive, send)


def may_speak(path: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a request is one of ours. A browser says its page's origin with every request that changes something."""
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
