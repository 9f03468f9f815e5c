"""The HTTP connection to a server: its own headers, the Hub token for the Hub only, and limits on message size.

The library refuses redirects to another server.
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
"""Maximum size of a message."""
_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")


def is_hub(server: McpServer) -> bool:
    """Return whether a server is at the Hub's origin."""
    hub, target = urlsplit(hub_url()), urlsplit(server.url or "")
    return (hub.scheme, hub.netloc) == (target.scheme, target.netloc)


def needs_token(server: McpServer) -> bool:
    """Return whether a server is the Hub's and no credentials are configured for it."""
    return is_hub(server) and not hub_token(os.environ) and not _has_authorization(server)


def request_headers(server: McpServer) -> dict[str, str]:
    """Return the headers of every request: the configured ones, and for the Hub its token unless another is set."""
    token = hub_token(os.environ)
    token_header = (
        {"Authorization": f"Bearer {token}"} if token and is_hub(server) and not _has_authorization(server) else {}
    )
    return {"User-Agent": user_agent(), **token_header, **server.headers}


def _has_authorization(server: McpServer) -> bool:
    return any(name.lower() == "authorization" for name in server.headers)


@asynccontextmanager
async def http_streams(server: McpServer) -> AsyncIterator[tuple[Any, Any]]:
    """Open the streams of a session with the server at `url`. Raises httpx errors in an exception group."""
    import httpx
    from mcp.client.streamable_http import streamable_http_client

    url = urlsplit(server.url or "")
    async with (
        httpx.AsyncClient(
            headers={**request_headers(server), "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(server.timeout_s, connect=CONNECT_SECONDS),
            trust_env=url.hostname not in {"127.0.0.1", "localhost", "::1"},
            verify=await asyncio.to_thread(certificates) if url.scheme == "https" else False,
            event_hooks={"response": [_limit]},
        ) as client,
        streamable_http_client(server.url or "", http_client=client) as (incoming, outgoing, _),
    ):
        yield incoming, outgoing


async def _limit(response: "httpx.Response") -> None:
    """Replace a message over the size limit by an error, so that it is never held in memory."""
    import httpx

    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx.DecodingError("the server sent an unrequested compression")
    events = response.headers.get("content-type", "").startswith("text/event-stream")
    body = response.stream
    if isinstance(body, httpx.AsyncByteStream):
        response.stream = _limited(body, _error(response.request), events=events)


def _limited(body: "httpx.AsyncByteStream", error: bytes, *, events: bool) -> "httpx.AsyncByteStream":
    import httpx

    class Limited(httpx.AsyncByteStream):
        """The same bytes, up to a message that is too long; of an event stream only complete events."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            chunks: list[bytes] = []
            size = 0
            async for chunk in body:
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_BYTES:
                    yield b"event: message\ndata: " + error + b"\n\n" if events else error
                    return
                if events and (end := _last_event_end(chunk)):
                    yield b"".join([*chunks[:-1], chunk[:end]])
                    chunks, size = [chunk[end:]], len(chunk) - end
            yield b"".join(chunks)

        async def aclose(self) -> None:
            await body.aclose()

    return Limited()


def _last_event_end(chunk: bytes) -> int:
    """Return the end of the last complete event in a chunk, or 0. A blank line cut in two is found in the next one."""
    return max((at + len(mark) for mark in _BLANK_LINES if (at := chunk.rfind(mark)) >= 0), default=0)


def _error(request: "httpx.Request") -> bytes:
    """Build the error message that replaces a response that is too long."""
    try:
        id = json.loads(request.content)["id"] if request.method == "POST" else None
    except (ValueError, KeyError, TypeError):
        id = None
    message = f"the response is larger than {MAX_BYTES:,} bytes; request less"
    return json.dumps({"jsonrpc": "2.0", "id": id or 0, "error": {"code": -32603, "message": message}}).encode()
