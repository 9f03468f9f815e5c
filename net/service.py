"""The HTTP client for services with a known base URL. What it sends never leaves that origin, redirects included."""

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
MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
RETRY_AFTER_SECONDS = 0.5
_MAX_WORDS = 10_000
_loading = threading.Lock()
_REDIRECTS = {301, 302, 303, 307, 308}


class NotThere(ToolError):
    """The service knows no such thing (404, 410)."""


class TooMany(ToolError):
    """The service wants fewer requests (429). `seconds` until it takes more, None where it does not say."""

    def __init__(self, text: str, seconds: float | None = None) -> None:
        super().__init__(text)
        self.seconds = seconds


class Unavailable(ToolError):
    """No answer, or one that says that the service itself failed (5xx)."""


@dataclass(frozen=True)
class Answer:
    """A successful answer."""

    url: str
    content_type: str
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


@dataclass(frozen=True)
class Service:
    """An open client of one service. `name` is how people call it."""

    name: str
    base: str
    client: "httpx.AsyncClient"
    most: int = MAX_BYTES
    """Bytes of an answer at most."""

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> Answer:
        """What is at a path below the base URL.

        Raises:
            NotThere, TooMany, Unavailable: as the service says.
            ToolError: any other answer that is no success, a body over the limit, a redirect to another server.
        """
        return await self._send("GET", path, {"params": params} if params else {})

    async def get_json(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON at a path; raises like `get`."""
        return await self._decoded(await self.get(path, params))

    async def post_json(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a JSON body; raises like `get`."""
        return await self._decoded(await self._send("POST", path, {"json": dict(body)}))

    async def _decoded(self, answer: Answer) -> Any:
        try:
            # A large answer takes longer to parse than the event loop may be held up.
            return await asyncio.to_thread(json.loads, answer.body)
        except (ValueError, RecursionError) as error:
            raise Unavailable(f"{self.name} answered with something that is no JSON") from error

    async def _send(self, method: str, path: str, content: Mapping[str, Any]) -> Answer:
        try:
            return await self._once(method, path, content)
        except Unavailable:
            await asyncio.sleep(RETRY_AFTER_SECONDS)
            return await self._once(method, path, content)

    async def _once(self, method: str, path: str, content: Mapping[str, Any]) -> Answer:
        import httpx

        url = self.base + path
        try:
            for _ in range(MAX_REDIRECTS + 1):
                async with self.client.stream(method, url, **content) as response:
                    if response.status_code not in _REDIRECTS:
                        await self._check(response)
                        kind = response.headers.get("content-type", "")
                        return Answer(str(response.url), kind, await self._body(response))
                    url = self._same_origin(urljoin(str(response.url), response.headers.get("location", "")))
                    content = {}
        except httpx.TimeoutException as error:
            raise Unavailable(f"{self.name} did not answer in time; try again later") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"no connection to {self.name} ({type(error).__name__}); try again later") from error
        raise ToolError(f"{self.name} redirects in a circle")

    async def _body(self, response: "httpx.Response") -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self.most:
                raise ToolError(f"{self.name} sent more than {self.most:,} bytes; ask for less")
        return bytes(body)

    async def _check(self, response: "httpx.Response") -> None:
        if response.status_code >= 300:
            words = await _words(response)
            fault = self._failed(response, words)
            fault.taint = (self.base,) if words else ()
            raise fault

    def _failed(self, response: "httpx.Response", words: str) -> ToolError:
        """What an answer that is no success means."""
        status = response.status_code
        if status in (404, 410):
            return NotThere(f"{self.name} has nothing at {urlsplit(str(response.url)).path}{words}")
        if status == 429:
            seconds = _seconds(response.headers.get("retry-after", ""))
            when = f"in {seconds:.0f} s" if seconds is not None else "later"
            return TooMany(f"{self.name} takes no more requests now (429); try again {when}", seconds)
        if status >= 500:
            return Unavailable(f"{self.name} failed ({status}){words}; try again later")
        why = {401: "the key is not accepted", 403: "access is refused"}.get(status, "the request is not accepted")
        return ToolError(f"{self.name} answered {status}: {why}{words}")

    def _same_origin(self, url: str) -> str:
        here, there = urlsplit(self.base), urlsplit(url)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise ToolError(f"{self.name} redirects to another server ({there.netloc}), which is not followed")
        return url


@asynccontextmanager
async def open_service(
    name: str, base: str, headers: Mapping[str, str] | None = None, most: int = MAX_BYTES
) -> AsyncIterator[Service]:
    """A client of the service at `base`, closed at the end. `headers` go to it and to nobody else."""
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
        yield Service(name, base.rstrip("/"), client, most)


async def load_httpx() -> None:
    """Import httpx, and what it imports with its first request, where that does not hold up the event loop."""
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
    """How we call ourselves."""
    return f"ml-intern/{version()}"


@cache
def certificates() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes longer than a request."""
    import httpx

    return httpx.create_ssl_context()


async def _words(response: "httpx.Response") -> str:
    """What the service itself says about an error, where it says it as JSON. A stranger's text, shown as such."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_WORDS:
            return ""
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    said = (told.get("error") or told.get("message") or told.get("detail")) if isinstance(told, Mapping) else None
    return f' (it says: "{" ".join(visible(said[:300]).split())}")' if isinstance(said, str) else ""


def _seconds(retry_after: str) -> float | None:
    return min(float(retry_after), 86_400.0) if retry_after.isdigit() else None
