"""ServerClient: the wire over HTTP, with every failure as one of the errors that a user can see."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import httpx

from ml_intern.configs.errors import ConfigurationError, MLInternError, TemporaryError, UsageError
from ml_intern.session.remote.servers import SavedServer
from ml_intern.session.wire.codec import WIRE, decode_error

WIRE_HEADER = "x-wire"
ANSWER_SECONDS = 60.0
"""The time that a server has to answer, also while no worker performs an operation."""
CONNECT_SECONDS = 10.0
DELAYS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each attempt to repeat what had no answer."""


class NoRoute(MLInternError):
    """The server does not have this address: it is older, or another program."""


class ServerClient:
    """Requests to one server. Use `open_client`."""

    def __init__(self, server: SavedServer, http: httpx.AsyncClient) -> None:
        self.server = server
        self._http = http

    async def get(self, path: str, **params: str | int) -> Any:
        """Return the JSON at a path. Raises MLInternError."""
        return await self._repeated("GET", path, params=params)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post a JSON object once. Raises MLInternError; a TemporaryError may come after an effect."""
        try:
            return self._checked(await self._http.post(path, json=dict(body)))
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    async def post_again(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post a JSON object with an id, and again until there is an answer: it takes effect once."""
        return await self._repeated("POST", path, json=dict(body))

    async def events(self, path: str, after: int) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield the events after a number, and the kind of each: "message" or "reset". Raises TransportError."""
        params, timeout = {"after": after}, httpx.Timeout(CONNECT_SECONDS, read=ANSWER_SECONDS)
        async with self._http.stream("GET", path, params=params, timeout=timeout) as response:
            if response.is_error:
                await response.aread()
            self._checked(response, streamed=True)
            kind = "message"
            async for line in response.aiter_lines():
                if line.startswith("event:"):
                    kind = line[6:].strip()
                elif line.startswith("data:"):
                    yield kind, {"seq": int(line[5:])} if kind == "reset" else json.loads(line[5:])
                elif not line:
                    kind = "message"

    async def _repeated(self, method: str, path: str, **content: Any) -> Any:
        for delay in (*DELAYS, None):
            try:
                return self._checked(await self._http.request(method, path, **content))
            except httpx.TransportError as error:
                if delay is None or isinstance(error, httpx.ConnectError):
                    raise self._unreachable(error) from error
                await asyncio.sleep(delay)
        raise AssertionError  # the last attempt returns or raises

    def _checked(self, response: httpx.Response, *, streamed: bool = False) -> Any:
        """Return the JSON of a response. Raises MLInternError."""
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise ConfigurationError(
                f"the server {self.server.name} refuses the token", f"log in again: ml-intern login {self.server.url}"
            )
        if response.is_error:
            self._refuse(response)
        wire = response.headers.get(WIRE_HEADER)
        if wire != str(WIRE):
            raise self._other_version(wire)
        return None if streamed else response.json()

    def _refuse(self, response: httpx.Response) -> NoReturn:
        try:
            raise decode_error(dict(response.json()["error"]))
        except (ValueError, TypeError, KeyError):
            kind = TemporaryError if response.is_server_error else MLInternError
            kind = NoRoute if response.status_code == httpx.codes.NOT_FOUND else kind
            status = f"{response.status_code} {response.reason_phrase}".strip()
            raise kind(
                f"the server {self.server.name} answered {status}", f"check that {self.server.url} is ml-intern"
            ) from None

    def _other_version(self, wire: str | None) -> UsageError:
        if wire is None:
            return UsageError(f"{self.server.url} is not a server of ml-intern", "check the address")
        return UsageError(
            f"the server {self.server.name} speaks version {wire[:20]} of the format, this program {WIRE}",
            "use the same version of ml-intern on both sides",
        )

    def _unreachable(self, error: httpx.TransportError) -> MLInternError:
        if "CERTIFICATE" in str(error).upper():
            return ConfigurationError(
                f"the certificate of {self.server.url} cannot be verified: {error}", "fix it, or SSL_CERT_FILE"
            )
        why = str(error) or type(error).__name__
        return TemporaryError(f"the server {self.server.name} does not answer: {why}", "try again later")


@asynccontextmanager
async def open_client(server: SavedServer) -> AsyncIterator[ServerClient]:
    """Open a client of a server. Nothing is sent."""
    headers = {"authorization": f"Bearer {server.token}", WIRE_HEADER: str(WIRE)}
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    async with httpx.AsyncClient(
        base_url=server.url, headers=headers, timeout=timeout, trust_env=not server.is_loopback
    ) as http:
        yield ServerClient(server, http)
