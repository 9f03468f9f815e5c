"""Access control: requests need the server's token, the same user, and an exact origin and host.

Any page open in a browser and any user of this machine can send requests to a local address.
"""

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketClose

from ml_intern.server.options import VARIABLE, ServedOptions
from ml_intern.server.peers import is_own_peer
from ml_intern.server.token import HEADER, has_token, new_token, token_digest, without_token, without_token_headers

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STUDIO = frozenset({"https://smith.langchain.com", "https://eu.smith.langchain.com"})
"""Origins of Studio's page."""
LOCAL = ("127.0.0.1", "localhost")
CLOSED = ("/deploy", "/internal")
"""Undocumented paths of LangGraph's server: one uploads the working folder, others reset the server."""
REFUSAL = "access denied: this address, page or user may not use the server"
NO_TOKEN = f"the token is missing or wrong: use the address that `ml-intern studio` printed, or send {HEADER}"

_LOG = logging.getLogger(__name__)


class AccessControl:
    """Refuse requests without the token, from other users and pages, to other host names, and to closed paths."""

    def __init__(self, app: "ASGIApp", digest: str = "") -> None:
        self._app = app
        self._digest = digest or _served_digest()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on one request or websocket, or refuse it with 401 or 403."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = without_token(self._digest, scope["path"])
        status, reason = await self._refusal(scope, path)
        if not status:
            headers = without_token_headers(scope["headers"])
            await self._app({**scope, "path": path, "raw_path": path.encode(), "headers": headers}, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(1008, reason)(scope, receive, send)
        else:
            await PlainTextResponse(reason, status)(scope, receive, send)

    async def _refusal(self, scope: "Scope", path: str) -> tuple[int, str]:
        """Return the status and the reason for which a request is refused; (0, "") if it is not."""
        headers, server = dict(scope["headers"]), scope.get("server")
        if not is_allowed(path, headers, server[1] if server else 0):
            return 403, REFUSAL
        if not await asyncio.to_thread(is_own_peer, scope.get("client"), server):
            return 403, REFUSAL
        if has_token(self._digest, headers, scope["path"]) or _is_preflight(scope, headers):
            return 0, ""
        return 401, NO_TOKEN


def is_allowed(path: str, headers: dict[bytes, bytes], port: int) -> bool:
    """Return whether the path, the host and the origin are allowed. Programs send no origin; browsers send the page's.

    A request that a proxy forwarded is refused, because its address is not that of the connection.
    """
    origin, host = headers.get(b"origin", b"").decode("latin-1"), headers.get(b"host", b"").decode("latin-1")
    if path.startswith(CLOSED) or b"x-forwarded-for" in headers or b"forwarded" in headers:
        return False
    hosts = {f"{name}:{port}" for name in LOCAL}
    return host in hosts and (b"origin" not in headers or origin in STUDIO | {f"http://{one}" for one in hosts})


def _is_preflight(scope: "Scope", headers: dict[bytes, bytes]) -> bool:
    """Return whether a browser asks which headers a page may send. The server's CORS middleware answers it itself."""
    asks = b"origin" in headers and b"access-control-request-method" in headers
    return asks and scope["type"] == "http" and scope["method"] == "OPTIONS"


def _served_digest() -> str:
    """Return the digest from `ml-intern studio`. Without it, make a token and log it, for `langgraph dev`."""
    if os.environ.get(VARIABLE) and (digest := ServedOptions.read().token_digest):
        return digest
    token = new_token()
    _LOG.warning("token of this server: %s (send it as %s, or use http://127.0.0.1:PORT/%s)", token, HEADER, token)
    return token_digest(token)


app = Starlette(middleware=[Middleware(AccessControl)])
