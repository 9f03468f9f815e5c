"""The direct transport: HTTP to an endpoint whose API ml-intern speaks itself, without litellm."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

import httpx

from ml_intern.models.request import ModelRequest, ReplyPart
from ml_intern.models.routing import Route
from ml_intern.models.transports.base import Trimming
from ml_intern.models.transports.http import HttpConnections, error_of_httpx
from ml_intern.models.transports.pace import paced


class ModelApi(Protocol):
    """An API: where requests go, how they are encoded, how replies are read."""

    path: str
    """The path under the base URL."""

    def body(self, route: Route, request: ModelRequest, trimming: Trimming) -> bytes:
        """Return the body of a request."""
        ...

    def parts(self, response: httpx.Response, route: Route) -> AsyncIterator[ReplyPart]:
        """Yield the fragments of a reply. Raises the errors of models.errors."""
        ...


class DirectTransport:
    """Calls the endpoints of one API."""

    def __init__(self, connections: HttpConnections, api: ModelApi) -> None:
        self._connections = connections
        self._api = api

    async def stream(self, route: Route, request: ModelRequest, trimming: Trimming) -> AsyncGenerator[ReplyPart]:
        """Yield the fragments of one reply. Raises the errors of models.errors."""
        waits = self._connections.waits
        idle_s = waits.idle_s if request.stream else waits.whole_s
        async with aclosing(paced(self._fragments(route, request, trimming), route, idle_s)) as parts:
            async for part in parts:
                yield part

    async def _fragments(self, route: Route, request: ModelRequest, trimming: Trimming) -> AsyncGenerator[ReplyPart]:
        content, began = self._api.body(route, request, trimming), False
        try:
            async with self._connections.answer(route, self._api.path, content, streamed=request.stream) as response:
                began = True
                async for part in self._api.parts(response, route):
                    yield part
        except httpx.HTTPError as error:
            raise error_of_httpx(error, route, self._connections.waits, began=began) from error

    async def close(self) -> None:
        """Do nothing: other transports share the connections."""
