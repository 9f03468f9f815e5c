"""A starlette application served on loopback from a thread, with a record of every request it got."""

import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

SECRET_HEADERS = ("authorization", "x-api-key", "x-subscription-token", "cookie", "private-token")


@dataclass(frozen=True)
class Seen:
    """A request as the server got it."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of it was a credential."""
        return tuple(self.headers[name] for name in SECRET_HEADERS if name in self.headers)


class Loopback:
    """A server; use as a context manager. `seen` holds what it was asked."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.seen: list[Seen] = []
        self.elsewhere = ""
        """Where every request is redirected to, when it is set."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._recorded(Starlette(routes=list(routes))),
                log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def url(self) -> str:
        """The base URL, without a closing slash."""
        return f"http://{self.host}"

    @property
    def paths(self) -> list[str]:
        """The paths it was asked for, in order."""
        return [one.path for one in self.seen]

    @property
    def secrets(self) -> set[str]:
        """Every credential that arrived."""
        return {secret for one in self.seen for secret in one.secrets}

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _recorded(self, app: ASGIApp) -> ASGIApp:
        async def record(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
            query = scope["query_string"].decode()
            self.seen.append(Seen(scope["method"], scope["path"], query, headers))
            await (RedirectResponse(self.elsewhere) if self.elsewhere else app)(scope, receive, send)

        return record
