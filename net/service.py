"""The HTTP client for services with a known base URL. It sends requests to that origin only, redirects included."""

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ml_intern.configs.version import version
from ml_intern.execution.call import ToolError
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 20_000_000
MAXREDIRECTS = 5
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
RETRY_AFTER_SECONDS = 0.5
_MAX_ERROR_BYTES = 10_000
_loading = threading.Lock()
REDIRECTS = {301, 302, 303, 307, 308}


class NotFound(ToolError):
    """The resource does not exist (404, 410)."""


class TooManyRequests(ToolError):
    """The service limits requests (429). `seconds` is the time until it accepts more, None when unknown."""

    def __init__(self, text: str, seconds: float | None = None) -> None:
        super().__init__(text)
        self.seconds = seconds


class TooLarge(ToolError):
    """The response is over the maximum size."""


class Unavailable(ToolError):
    """The service did not answer, or failed (5xx)."""


@dataclass(frozen=True)
class ServiceResponse:
    """A successful response."""

    url: str
    content_type: str
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True)
class Service:
    """An open client of one service. `name` is the name used in messages."""

    name: str
    base: str
    client: "httpx.AsyncClient"
    max_bytes: int = MAX_BYTES
    """Maximum size of a response."""

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> ServiceResponse:
        """Get a path below the base URL.

        Raises:
            NotFound, TooManyRequests, Unavailable: see there.
            ToolError: any other unsuccessful response, a body over the limit, or a redirect to another server.
        """
        return await self._send("GET", path, {"params": params} if params else {})

    async def get_json(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Get the JSON at a path. Raises like `get`."""
        return await self._decode(await self.get(path, params))

    async def post_json(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post a JSON body and return the JSON response. Raises like `get`."""
        return await self._decode(await self._send("POST", path, {"json": dict(body)}))

    async def put(self, path: str, body: bytes) -> ServiceResponse:
        """Put bytes at a path. Raises like `get`."""
        return await self._send("PUT", path, {"content": body})

    async def delete(self, path: str) -> ServiceResponse:
        """Delete what is at a path. Raises like `get`."""
        return await self._send("DELETE", path, {})

    async def _decode(self, answer: ServiceResponse) -> Any:
        try:
            # Parsing a large response would block the event loop for too long.
            return await asyncio.to_thread(json.loads, answer.body)
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"{self.name} returned a response that is not JSON") from error

    async def _send(self, method: str, path: str, content: Mapping[str, Any]) -> ServiceResponse:
        try:
            return await self._once(method, path, content)
        except Unavailable:
            await asyncio.sleep(RETRY_AFTER_SECONDS)
            return await self._once(method, path, content)

    async def _once(self, method: str, path: str, content: Mapping[str, Any]) -> ServiceResponse:
        import httpx

        url = self.base + path
        try:
            for _ in range(MAXREDIRECTS + 1):
                async with self.client.stream(method, url, **content) as response:
                    if response.status_code not in REDIRECTS:
                        await self._check(response)
                        kind = response.headers.get("content-type", "")
                        return ServiceResponse(str(response.url), kind, await self._body(response))
                    url = self._same_origin(urljoin(str(response.url), response.headers.get("location", "")))
                    content = {}
        except httpx.TimeoutException as error:
            raise Unavailable(f"{self.name} did not answer in time; try again later") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"no connection to {self.name} ({type(error).__name__}); try again later") from error
        raise ToolError(f"{self.name} redirects too often")

    async def _body(self, response: "httpx.Response") -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self.max_bytes:
                raise TooLarge(f"{self.name} sent more than {self.max_bytes:,} bytes; ask for less")
        return bytes(body)

    async def _check(self, response: "httpx.Response") -> None:
        if response.status_code >= 300:
            message = await _error_message(response)
            error = self._error(response, message)
            error.taint = (self.base,) if message else ()
            raise error

    def _error(self, response: "httpx.Response", message: str) -> ToolError:
        """Return the error for an unsuccessful response."""
        status = response.status_code
        if status in (404, 410):
            return NotFound(f"{self.name} has nothing at {urlsplit(str(response.url)).path}{message}")
        if status == 429:
            seconds = _parse_retry_after(response.headers.get("retry-after", ""))
            when = f"in {seconds:.0f} s" if seconds is not None else "later"
            return TooManyRequests(f"{self.name} is limiting requests (429); try again {when}", seconds)
        if status >= 500:
            return Unavailable(f"{self.name} failed ({status}){message}; try again later")
        why = {401: "the key was rejected", 403: "access denied"}.get(status, "the request was rejected")
        return ToolError(f"{self.name} answered {status}: {why}{message}")

    def _same_origin(self, url: str) -> str:
        own, other = urlsplit(self.base), urlsplit(url)
        if (own.scheme, own.netloc) != (other.scheme, other.netloc):
            raise ToolError(f"{self.name} redirects to another server ({other.netloc}); the redirect was not followed")
        return url


@asynccontextmanager
async def open_service(
    name: str, base: str, headers: Mapping[str, str] | None = None, max_bytes: int = MAX_BYTES
) -> AsyncIterator[Service]:
    """Open a client of the service at `base`; close it at the end. `headers` are sent to that origin only."""
    await load_httpx()
    import httpx

    parts = urlsplit(base)
    async with httpx.AsyncClient(
        headers={"user-agent": user_agent(), **(headers or {})},
        timeout=httpx.Timeout(IDLE_SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=parts.hostname not in {"127.0.0.1", "localhost", "::1"},
        verify=certificates(),
    ) as client:
        yield Service(name, base.rstrip("/"), client, max_bytes)


async def load_httpx() -> None:
    """Import httpx, and what it imports at its first request, without blocking the event loop."""
    await asyncio.to_thread(_load_once)


def _load_once() -> None:
    with _loading:
        _load()


@cache
def _load() -> None:
    import anyio
    import httpx

    httpx.AsyncHTTPTransport(verify=certificates())
    anyio.run(anyio.sleep, 0)
    user_agent()


def user_agent() -> str:
    """Return ml-intern's User-Agent."""
    return f"ml-intern/{version()}"


@cache
def certificates() -> ssl.SSLContext:
    """Return the trusted certificates. Cached: reading them takes longer than a request."""
    import httpx

    return httpx.create_ssl_context()


async def _error_message(response: "httpx.Response") -> str:
    """Return the service's own error message from a JSON body, marked as untrusted text, or ""."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_ERROR_BYTES:
            return ""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    fields = answer if isinstance(answer, Mapping) else {}
    message = fields.get("error") or fields.get("message") or fields.get("detail")
    return f' (its message: "{" ".join(visible(message[:300]).split())}")' if isinstance(message, str) else ""


def _parse_retry_after(retry_after: str) -> float | None:
    return min(float(retry_after), 86_400.0) if retry_after.isdigit() else None
