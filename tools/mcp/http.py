"""The connection to a server at an address: its own headers, the Hub's token at the Hub alone, limits on what it sends.

Redirects to another server are refused by the library itself.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ml_intern.configs.hosts import hub_url
from ml_intern.configs.mcp_servers import McpServer
from ml_intern.models.routing import hub_token
from ml_intern.net.service import CONNECT_SECONDS, certificates, user_agent

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 16_000_000
"""Of one message."""
_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")


def is_hub(server: McpServer) -> bool:
    """Whether a server is the Hub's own: at the Hub's origin."""
    here, there = urlsplit(hub_url()), urlsplit(server.url or "")
    return (here.scheme, here.netloc) == (there.scheme, there.netloc)


def needs_token(server: McpServer) -> bool:
    """Whether a server is the Hub's and there is nothing to sign in with."""
    return is_hub(server) and not hub_token(os.environ) and not _signs_in(server)


def headers_of(server: McpServer) -> dict[str, str]:
    """What is sent with every request: the server's own headers; the Hub's token to the Hub, unless it has another."""
    token = hub_token(os.environ)
    ours = {"Authorization": f"Bearer {token}"} if token and is_hub(server) and not _signs_in(server) else {}
    return {"User-Agent": user_agent(), **ours, **server.headers}


def _signs_in(server: McpServer) -> bool:
    return any(name.lower() == "authorization" for name in server.headers)


@asynccontextmanager
async def http_streams(server: McpServer) -> AsyncIterator[tuple[Any, Any]]:
    """The streams a session with the server at `url` reads and writes. Raises what httpx raises, in a group."""
    import httpx
    from mcp.client.streamable_http import streamable_http_client

    url = urlsplit(server.url or "")
    async with (
        httpx.AsyncClient(
            headers={**headers_of(server), "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(server.timeout_s, connect=CONNECT_SECONDS),
            trust_env=url.hostname not in {"127.0.0.1", "localhost", "::1"},
            verify=await asyncio.to_thread(certificates) if url.scheme == "https" else False,
            event_hooks={"response": [_limit]},
        ) as client,
        streamable_http_client(server.url or "", http_client=client) as (incoming, outgoing, _),
    ):
        yield incoming, outgoing


async def _limit(response: "httpx.Response") -> None:
    """Let no message over the limit into memory: an error takes its place."""
    import httpx

    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx.DecodingError("the server compressed its answer unasked")
    events = response.headers.get("content-type", "").startswith("text/event-stream")
    body = response.stream
    if isinstance(body, httpx.AsyncByteStream):
        response.stream = _limited(body, _error(response.request), events=events)


def _limited(body: "httpx.AsyncByteStream", error: bytes, *, events: bool) -> "httpx.AsyncByteStream":
    import httpx

    class Limited(httpx.AsyncByteStream):
        """The same bytes, of events whole ones only, up to a message that is too long."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            held: list[bytes] = []
            size = 0
            async for chunk in body:
                held.append(chunk)
                size += len(chunk)
                if size > MAX_BYTES:
                    yield b"event: message\ndata: " + error + b"\n\n" if events else error
                    return
                if events and (end := _last_event_end(chunk)):
                    yield b"".join([*held[:-1], chunk[:end]])
                    held, size = [chunk[end:]], len(chunk) - end
            yield b"".join(held)

        async def aclose(self) -> None:
            await body.aclose()

    return Limited()


def _last_event_end(chunk: bytes) -> int:
    """Where the last whole event in a chunk ends, 0 when none does. A blank line cut in two is found with the next."""
    return max((at + len(mark) for mark in _BLANK_LINES if (at := chunk.rfind(mark)) >= 0), default=0)


def _error(request: "httpx.Request") -> bytes:
    """The message that stands for an answer that was too long."""
    try:
        id = json.loads(request.content)["id"] if request.method == "POST" else None
    except (ValueError, KeyError, TypeError):
        id = None
    said = f"the answer has more than {MAX_BYTES:,} bytes; ask for less"
    return json.dumps({"jsonrpc": "2.0", "id": id or 0, "error": {"code": -32603, "message": said}}).encode()
