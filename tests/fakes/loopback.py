"""A starlette application served on loopback from a thread, with a record of every request it got."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.fakes.served import Served

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


class Loopback(Served):
    """A server; use as a context manager. `seen` holds what it was asked."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.seen: list[Seen] = []
        self.elsewhere = ""
        """Where every request is redirected to, when it is set."""
        super().__init__(self._recorded(Starlette(routes=list(routes))))

    @property
    def paths(self) -> list[str]:
        """The paths it was asked for, in order."""
        return [one.path for one in self.seen]

    @property
    def secrets(self) -> set[str]:
        """Every credential that arrived."""
        return {secret for one in self.seen for secret in one.secrets}

    def _recorded(self, app: ASGIApp) -> ASGIApp:
        async def record(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
            query = scope["query_string"].decode()
            self.seen.append(Seen(scope["method"], scope["path"], query, headers))
            await (RedirectResponse(self.elsewhere) if self.elsewhere else app)(scope, receive, send)

        return record
