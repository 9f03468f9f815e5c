"""An ASGI application served on loopback from a thread of this process."""

import socket
import threading
from typing import Literal, Self
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


class Served:
    """A server on ports of its own; use as a context manager."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        listeners: int = 1,
        lifespan: Literal["auto", "off"] = "off",
        date_header: bool = True,
        port: int = 0,
    ) -> None:
        self._sockets = [_listener(port) for _ in range(listeners)]
        self.ports = [listener.getsockname()[1] for listener in self._sockets]
        """One for each listener."""
        config = uvicorn.Config(
            _as_if_asked_directly(app),
            log_level="critical",
            lifespan=lifespan,
            ws="none",
            date_header=date_header,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), daemon=True)

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def url(self) -> str:
        """The base URL, without a closing slash."""
        return f"http://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        for listener in self._sockets:
            listener.close()


def _as_if_asked_directly(app: ASGIApp) -> ASGIApp:
    """A proxy is asked with a whole URL. Of uvicorn's two parsers httptools takes the path from it, h11 does not."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("http://"):
            scope["path"] = urlsplit(scope["path"]).path
        await app(scope, receive, send)

    return serve


def _listener(port: int) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's algorithm off; else small chunks wait 40 ms for each other.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener
