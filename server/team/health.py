"""/healthz, /readyz and /metrics, for load balancers and Prometheus: of a server beside its pages, or of a worker."""

import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ml_intern.configs.errors import MLInternError, TemporaryError, UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

METRICS = "/metrics"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
Metrics = Callable[[], Awaitable[str]]
"""Returns the figures in Prometheus' format. Raises the store's errors."""


class Health:
    """Answers whether the process runs (/healthz) and whether the database answers (/readyz), to everybody."""

    def __init__(self, app: "ASGIApp", metrics: Metrics) -> None:
        self._app = app
        self._own = Starlette(routes=health_routes(metrics))

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request, or pass it on."""
        is_own = scope["type"] == "http" and scope["path"] in ("/healthz", "/readyz")
        await (self._own if is_own else self._app)(scope, receive, send)


def health_routes(metrics: Metrics) -> list[Route]:
    """Return the routes that show nothing of the threads."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        try:
            await metrics()
        except MLInternError:
            return PlainTextResponse("the database does not answer\n", 503)
        return PlainTextResponse("ready\n")

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


def metrics_route(metrics: Metrics) -> Route:
    """Return the route of the figures."""

    async def show(_: Request) -> Response:
        try:
            return Response(await metrics(), media_type=TEXT)
        except MLInternError as error:
            return PlainTextResponse(f"# {error.message}\n", 503)

    return Route(METRICS, show)


async def serve_health(listening: socket.socket, metrics: Metrics) -> None:
    """Serve the three routes of a worker until this is cancelled."""
    app = Starlette(routes=[*health_routes(metrics), metrics_route(metrics)])
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
    await _QuietServer(config).serve(sockets=[listening])


class _QuietServer(uvicorn.Server):
    """A server that leaves signals to the worker."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def metrics_socket(text: str) -> socket.socket:
    """Return a socket on ADDRESS:PORT, or on the port of this machine's loopback address. Raises MLInternError."""
    host, _, port = text.rpartition(":")
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host or "127.0.0.1", int(port)))
        listening.listen()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is not an address and a port", "use --metrics 127.0.0.1:9090") from error
    except OSError as error:
        raise TemporaryError(f"{text} cannot be used for metrics: {error.strerror}", "name another port") from error
    return listening
