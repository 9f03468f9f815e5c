"""The direct transport: httpx to an OpenAI-compatible endpoint, without litellm or redirects to other hosts."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from ml_intern.configs.errors import ConfigurationError, MLInternError
from ml_intern.models.errors import (
    PROXY_REMEDY,
    REDIRECTS,
    BadRequest,
    ConnectFailed,
    HttpAnswer,
    Retryable,
    ServerError,
    Stalled,
    StreamBroken,
    clean_words,
    detail_of,
    error_of,
    error_of_detail,
)
from ml_intern.models.messages import Conversion, Wire, encode
from ml_intern.models.openai_format import part_of_chunk, part_of_reply
from ml_intern.models.request import ModelRequest, ReplyPart
from ml_intern.models.routing import Route
from ml_intern.models.transports.base import Timeouts, Trimming
from ml_intern.models.transports.sse import DoneMark, InvalidEvents, events

FAILED_ENDS = ("error", "abort")
"""Finish reasons of engines that failed within a reply."""
MAX_REDIRECTS = 3
FEW_RETRIES = 3
"""Retries for what has never answered: a local server that is not running, an invalid host name or proxy."""
READ_OUT_S = 0.1
_RESERVED = frozenset({"model", "messages", "tools", "stream", "stream_options"})
ERROR_BYTES = 64 * 1024
WHOLE_BYTES = 64 * 1024 * 1024


class DirectTransport:
    """Calls OpenAI-compatible endpoints, with one keep-alive client per origin."""

    def __init__(self, waits: Timeouts) -> None:
        self._waits = waits
        self._encoded = Conversion(encode)
        self._tools: tuple[Sequence[Wire], bytes] = ((), b"")
        """The encoded tools of the last request: they stay the same within a turn."""
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def stream(self, route: Route, request: ModelRequest, trimming: Trimming) -> AsyncGenerator[ReplyPart]:
        """Yield the fragments of one reply. Raises the errors of models.errors."""
        content = self._body(route, request, trimming)
        try:
            async with self._answer(route, content, streamed=request.stream) as response:
                async for part in _parts(response, route):
                    yield part
        except httpx.HTTPError as error:
            raise error_of_httpx(error, route, self._waits) from error

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
            raise error_of_httpx(error, route, self._waits) from error
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
                timeout=httpx.Timeout(self._waits.idle_s, connect=self._waits.connect_s),
                limits=httpx.Limits(keepalive_expiry=60),
                follow_redirects=False,
                trust_env=not route.is_loopback,
                verify=encrypted and _certificates(),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            reason = clean_words(str(error))
            raise ConfigurationError(f"the proxy in the environment cannot be used: {reason}", PROXY_REMEDY) from error

    @asynccontextmanager
    async def _answer(self, route: Route, content: bytes, *, streamed: bool) -> AsyncIterator[httpx.Response]:
        """Yield the successful response to a request. The caller reads the body."""
        client, url = self._client(route), _url(route, "/chat/completions")
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
        return httpx.Timeout(self._waits.idle_s if streamed else self._waits.whole_s, connect=self._waits.connect_s)

    def _body(self, route: Route, request: ModelRequest, trimming: Trimming) -> bytes:
        fields: dict[str, Any] = {"model": route.name, "stream": request.stream}
        fields |= {key: value for key, value in request.params.items() if key not in _RESERVED}
        if request.stream and not trimming.options:
            fields["stream_options"] = {"include_usage": True}
        if request.effort and not trimming.options:
            fields["reasoning_effort"] = request.effort
        tools = b',"tools":%b' % self._tools_of(request) if request.tools else b""
        messages = b",".join(part for _, part in self._encoded(request.messages, request.model, trimming))
        return b'%b%b,"messages":[%b]}' % (encode(fields)[:-1], tools, messages)

    def _tools_of(self, request: ModelRequest) -> bytes:
        if request.tools is not self._tools[0]:
            self._tools = request.tools, encode(list(request.tools))
        return self._tools[1]


async def _once(content: bytes) -> AsyncIterator[bytes]:
    """Yield the body, so that it is freed once sent: httpx keeps request and response in a reference cycle."""
    yield content


def error_of_httpx(error: httpx.HTTPError, route: Route, waits: Timeouts) -> Exception:
    """Convert an exception of httpx to an error of models.errors."""
    if _cause(error, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"the certificate of {route.where} is not trusted", "check the address, or SSL_CERT_FILE"
        )
    if isinstance(error, httpx.ProxyError):
        return ConnectFailed(f"the proxy blocks connections to {route.where}; {PROXY_REMEDY}", retries=FEW_RETRIES)
    few = FEW_RETRIES if route.is_loopback else None
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        unnamed = _cause(error, socket.gaierror)
        problem = "cannot resolve the host of" if unnamed else "cannot connect to"
        if isinstance(unnamed, socket.gaierror) and unnamed.errno == socket.EAI_NONAME:
            few = FEW_RETRIES
        return ConnectFailed(f"{problem} {route.where}{' (DNS lookup failed)' if unnamed else ''}", retries=few)
    if isinstance(error, httpx.TimeoutException):
        return Stalled(f"{route.where} sent no data for {waits.idle_s:g} s")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return ConfigurationError(
            f"{route.where} cannot be called: {type(error).__name__}", "check the base URL and the key"
        )
    return StreamBroken(f"the connection to {route.where} was lost ({type(error).__name__})", retries=few)


def _cause(error: BaseException | None, kind: type[Exception]) -> BaseException | None:
    """Return the error of this kind in the chain of causes, or None."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


async def _parts(response: httpx.Response, route: Route) -> AsyncIterator[ReplyPart]:
    kind = response.headers.get("content-type", "")
    if "text/event-stream" not in kind:
        yield part_of_reply(await _whole(response, route), response.headers)
        return
    seen = _Seen()
    stream = events(response.aiter_bytes())
    try:
        async for event in stream:
            if isinstance(event, DoneMark):
                seen.end = True
                break
            part = part_of_chunk(event, response.headers)
            if event.get("error") or part.finish in FAILED_ENDS:
                raise _error_event(event, route)
            seen.take(event, part)
            yield part
    except InvalidEvents as error:
        raise StreamBroken(f"the reply of {route.where} is incomplete: {error}") from error
    seen.check(route)
    await _read_out(stream)


@dataclass
class _Seen:
    """The state of a stream."""

    events: int = 0
    choices: bool = False
    end: bool = False

    def take(self, event: Mapping[str, Any], part: ReplyPart) -> None:
        self.events += 1
        self.choices = self.choices or "choices" in event
        self.end = self.end or part.finish is not None

    def check(self, route: Route) -> None:
        """Raise an error if the finished stream is not a complete reply."""
        if self.events and not self.choices:
            raise _other_dialect(route)
        if not self.end:
            raise StreamBroken(f"the reply of {route.where} is incomplete")


async def _read_out(stream: AsyncIterator[object]) -> None:
    """Read to the end of the body, which usually follows the end mark, so that the connection can be reused."""
    with suppress(TimeoutError, InvalidEvents):
        async with asyncio.timeout(READ_OUT_S):
            async for _ in stream:
                pass


async def _whole(response: httpx.Response, route: Route) -> Mapping[str, Any]:
    body = await _read(response, WHOLE_BYTES)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        answer = HttpAnswer(200, {"content-type": response.headers.get("content-type", "")}, body)
        if answer.is_html:
            raise error_of(answer, route) from error
        raise ServerError(f"the response of {route.where} is not JSON", retries=FEW_RETRIES) from error
    if isinstance(value, dict) and value.get("error"):
        raise _error_event(value, route)
    if not isinstance(value, dict) or (value and "choices" not in value):
        raise _other_dialect(route)
    if not value.get("choices"):
        raise ServerError(f"the response of {route.where} has no choices")
    return value


async def _raise_for_status(response: httpx.Response, route: Route) -> None:
    if response.is_success:
        return
    headers = {name.lower(): value for name, value in response.headers.items()}
    raise error_of(HttpAnswer(response.status_code, headers, await _read(response, ERROR_BYTES)), route)


async def _read(response: httpx.Response, most: int) -> bytes:
    """Read the body up to about `most` bytes."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            break
    return bytes(body)


def _other_dialect(route: Route) -> ConfigurationError:
    """Return the error for an endpoint with another API."""
    return ConfigurationError(
        f"{route.where} does not support OpenAI's chat completions", "use its OpenAI-compatible address as the base URL"
    )


def _error_event(event: Mapping[str, Any], route: Route) -> Exception:
    """Convert an error event within a stream: by its status if it has one, otherwise to a broken stream."""
    detail = detail_of(event)
    if detail.status:
        return error_of_detail(detail.status, detail, route)
    error = error_of_detail(400, detail, route)
    broken = StreamBroken(f"{route.where} sent an error within its reply")
    return broken if isinstance(error, BadRequest) else error


def _same_origin_target(response: httpx.Response) -> httpx.URL | None:
    """Return the target of a redirect that stays on the same server with the same method."""
    if response.status_code not in REDIRECTS & {307, 308}:
        return None
    here = response.request.url
    target = here.join(response.headers.get("location", ""))
    same = (target.scheme, target.host, target.port) == (here.scheme, here.host, here.port)
    return target if same else None


def _url(route: Route, path: str) -> httpx.URL:
    base = httpx.URL(route.base_url or "")
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
