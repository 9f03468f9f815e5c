"""HTTP connections to model servers: one keep-alive client per origin, no redirects to other hosts, named errors."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from ml_intern.configs.errors import ConfigurationError, MLInternError
from ml_intern.models.errors import (
    PROXY_REMEDY,
    REDIRECTS,
    BadRequest,
    ConnectFailed,
    ConnectionDropped,
    HttpAnswer,
    NotAnApi,
    Retryable,
    ServerError,
    StreamBroken,
    clean_words,
    error_of,
)
from ml_intern.models.routing import Route
from ml_intern.models.transports.base import Timeouts
from ml_intern.models.transports.pace import stalled
from ml_intern.models.transports.sse import InvalidEvents

MAX_REDIRECTS = 3
FEW_RETRIES = 3
"""Retries for what has never answered and is probably not a model server, or an invalid proxy."""
READ_OUT_S = 0.1
ERROR_BYTES = 64 * 1024
WHOLE_BYTES = 64 * 1024 * 1024


class HttpConnections:
    """The connections of a session to model servers."""

    def __init__(self, waits: Timeouts) -> None:
        self.waits = waits
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def get(self, route: Route, path: str) -> Any:
        """Return the JSON at a path of the endpoint, or None. It is for catalogues, so it raises no errors."""
        try:
            return await self.fetch(route, path)
        except (Retryable, MLInternError):
            return None

    async def fetch(self, route: Route, path: str) -> Any:
        """Return the JSON at a path of the endpoint. Raises the errors of models.errors."""
        try:
            response = await self._client(route).get(_url(route, path), headers=_headers(route), timeout=10)
        except httpx.HTTPError as error:
            raise error_of_httpx(error, route, self.waits) from error
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"{route.where} is not a valid address", "check the base URL") from error
        if response.status_code != 200:
            headers = {name.lower(): value for name, value in response.headers.items()}
            raise error_of(HttpAnswer(response.status_code, headers, response.content[:ERROR_BYTES]), route)
        try:
            return response.json()
        except ValueError as error:
            raise BadRequest(f"{route.where} answered with something that is not JSON") from error

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    def _client(self, route: Route) -> httpx.AsyncClient:
        parts = urlsplit(route.base_url or "")
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._clients:
            self._clients[origin] = self._open_client(route, encrypted=parts.scheme == "https")
        return self._clients[origin]

    def _open_client(self, route: Route, *, encrypted: bool) -> httpx.AsyncClient:
        """Create a client. Raises ConfigurationError when the proxy in the environment is invalid."""
        try:
            return httpx.AsyncClient(
                timeout=httpx.Timeout(self.waits.idle_s, connect=self.waits.connect_s),
                limits=httpx.Limits(keepalive_expiry=60),
                follow_redirects=False,
                trust_env=not route.is_loopback,
                verify=encrypted and _certificates(),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            reason = clean_words(str(error))
            raise ConfigurationError(f"the proxy in the environment cannot be used: {reason}", PROXY_REMEDY) from error

    @asynccontextmanager
    async def answer(self, route: Route, path: str, content: bytes, *, streamed: bool) -> AsyncIterator[httpx.Response]:
        """Yield the successful response to a request. The caller reads the body."""
        client, url = self._client(route), _url(route, path)
        for _ in range(MAX_REDIRECTS + 1):
            headers = {**_headers(route), "Content-Length": str(len(content))}
            request = client.build_request(
                "POST", url, content=_once(content), headers=headers, timeout=self._timeout(streamed)
            )
            response = await client.send(request, stream=True)
            try:
                target = _same_origin_target(response)
                if target is None:
                    await _raise_for_status(response, route)
                    yield response
                    return
                url = target
            finally:
                await response.aclose()
        raise ConfigurationError(f"{route.where} redirects too often", "check the base URL")

    def _timeout(self, streamed: bool) -> httpx.Timeout:  # noqa: FBT001 - a kind of request, not an option
        return httpx.Timeout(self.waits.idle_s if streamed else self.waits.whole_s, connect=self.waits.connect_s)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    """Yield the body, so that it is freed once sent: httpx keeps request and response in a reference cycle."""
    yield content


def error_of_httpx(error: httpx.HTTPError, route: Route, waits: Timeouts, *, began: bool = True) -> Exception:
    """Convert an exception of httpx to an error of models.errors. `began`: the response had begun, or may have."""
    if _cause(error, ssl.SSLCertVerificationError):
        return NotAnApi(f"the certificate of {route.where} is not trusted", "check the address, or SSL_CERT_FILE")
    if isinstance(error, httpx.ProxyError):
        return ConnectFailed(f"the proxy blocks connections to {route.where}; {PROXY_REMEDY}", retries=FEW_RETRIES)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        unnamed = _cause(error, socket.gaierror)
        problem = "cannot resolve the host of" if unnamed else "cannot connect to"
        return ConnectFailed(f"{problem} {route.where}{' (DNS lookup failed)' if unnamed else ''}")
    if isinstance(error, httpx.TimeoutException):
        return stalled(route, waits.idle_s)
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return ConfigurationError(
            f"{route.where} cannot be called: {type(error).__name__}", "check the base URL and the key"
        )
    few = FEW_RETRIES if route.is_loopback else None
    lost = StreamBroken if began else ConnectionDropped
    return lost(f"the connection to {route.where} was lost ({type(error).__name__})", retries=few)


def _cause(error: BaseException | None, kind: type[Exception]) -> BaseException | None:
    """Return the error of this kind in the chain of causes, or None."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


async def read_out(stream: AsyncIterator[object]) -> None:
    """Read to the end of the body, which usually follows the end mark, so that the connection can be reused."""
    with suppress(TimeoutError, InvalidEvents):
        async with asyncio.timeout(READ_OUT_S):
            async for _ in stream:
                pass


async def read_json(chunks: AsyncIterable[bytes], content_type: str, route: Route) -> Any:
    """Return the JSON of a body. Raises ServerError if it is not JSON, and NotAnApi if it is a web page."""
    body = await _read(chunks, WHOLE_BYTES)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        answer = HttpAnswer(200, {"content-type": content_type}, body)
        if answer.is_html:
            raise error_of(answer, route) from error
        raise ServerError(f"the response of {route.where} is not JSON", retries=FEW_RETRIES) from error


async def _raise_for_status(response: httpx.Response, route: Route) -> None:
    if response.is_success:
        return
    headers = {name.lower(): value for name, value in response.headers.items()}
    raise error_of(HttpAnswer(response.status_code, headers, await _read(response.aiter_bytes(), ERROR_BYTES)), route)


async def _read(chunks: AsyncIterable[bytes], most: int) -> bytes:
    """Read the body up to about `most` bytes."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            break
    return bytes(body)


def _same_origin_target(response: httpx.Response) -> httpx.URL | None:
    """Return the target of a redirect that stays on the same server with the same method."""
    if response.status_code not in REDIRECTS & {307, 308}:
        return None
    here = response.request.url
    target = here.join(response.headers.get("location", ""))
    same = (target.scheme, target.host, target.port) == (here.scheme, here.host, here.port)
    return target if same else None


def _url(route: Route, path: str) -> httpx.URL:
    return _joined(route.base_url or "", path)


@lru_cache(maxsize=16)
def _joined(base_url: str, path: str) -> httpx.URL:
    base = httpx.URL(base_url)
    return base.copy_with(path=base.path.rstrip("/") + path)


def _headers(route: Route) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream, application/json",
        "user-agent": "ml-intern",
    }
    if route.provider == "anthropic" and route.key:
        return headers | {"x-api-key": route.key, "anthropic-version": "2023-06-01"}
    return headers | ({"authorization": f"Bearer {route.key}"} if route.key else {})


def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()
