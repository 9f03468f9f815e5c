"""Serve the web page until a signal arrives."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette

from ml_intern.configs.errors import TemporaryError, UsageError
from ml_intern.server.token import new_token
from ml_intern.server.web.access import Policy
from ml_intern.server.web.app import create_app
from ml_intern.server.web.connections import TimedConnection
from ml_intern.server.web.watching.registry import Registry

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 7860
BACKLOG = 512
MAX_CONNECTIONS = 1_000
CLOSING_SECONDS = 3


def checked_origin(text: str) -> str:
    """Return the address of the TLS proxy without a path. Raises UsageError."""
    parts = urlsplit(text)
    if text and (parts.scheme != "https" or not parts.netloc or parts.path not in ("", "/") or parts.query):
        raise UsageError(f"web_page.origin {text!r} is not valid", "write it as https://HOST or https://HOST:PORT")
    return f"https://{parts.netloc}" if text else ""


def bound_socket(host: str, port: int | None, origin: str) -> socket.socket:
    """Return a socket on the port; without one, on the default port or any free one.

    Raises:
        UsageError: the host is not loopback, and no TLS proxy is set.
        TemporaryError: the port is in use.
    """
    if host not in (LOOPBACK, "localhost") and not origin:
        raise UsageError(
            f"{host} is not this machine's loopback address", "put a TLS proxy in front and set web_page.origin"
        )
    for number in (port,) if port else (DEFAULT_PORT, 0):
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, number))
        except OSError:
            listening.close()
            continue
        listening.listen(BACKLOG)
        return listening
    raise TemporaryError(f"port {port} is in use", "choose another with --port, or omit it")


async def serve(listening: socket.socket, origin: str, ready: Callable[[str], None]) -> None:
    """Serve on the socket until a signal arrives. `ready` gets the address with the token. Raises MLInternError."""
    port = int(listening.getsockname()[1])
    policy = Policy(new_token(), port, origin)
    server = WebServer(create_app(policy), lambda: ready(address(policy, port)))
    await server.serve(sockets=[listening])


def address(policy: Policy, port: int) -> str:
    """Return the address of the page with the token."""
    return f"{policy.origin or f'http://{LOOPBACK}:{port}'}/?token={policy.token}"


class WebServer(uvicorn.Server):
    """The server of the page. `ready` is called as soon as the threads are open."""

    def __init__(self, app: Starlette, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(uvicorn_config(app))
        self._registry: Registry = app.state.registry
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the threads, then accept connections. Raises the store's errors."""
        await self._registry.open()
        self._ready()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all streams, which have no end of their own, then the connections, and close the threads."""
        self._registry.end_streams()
        await super().shutdown(sockets)
        await self._registry.close()


def uvicorn_config(app: Starlette) -> uvicorn.Config:
    """Return how the application is served: without logs of requests, and with limits."""
    return uvicorn.Config(
        app, http=TimedConnection, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        ws="none", lifespan="off", limit_concurrency=MAX_CONNECTIONS, timeout_graceful_shutdown=CLOSING_SECONDS,
    )  # fmt: skip
