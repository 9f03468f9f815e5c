"""Fetch pages of untrusted sites: public addresses only (checked at each redirect), no credentials, a size limit."""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

from ml_intern.execution.call import ToolError
from ml_intern.net.addresses import Target, check_public, is_allowed_host, parse_url, resolve
from ml_intern.net.service import (
    REDIRECTS,
    NotFound,
    TooManyRequests,
    Unavailable,
    certificates,
    load_httpx,
    user_agent,
)

if TYPE_CHECKING:
    import httpx

SECONDS = 30.0
"""Time limit for a whole page, redirects included."""
MAX_BYTES = 10_000_000
MAXREDIRECTS = 8
_CONNECT_SECONDS = 10.0
_CHUNK_BYTES = 250_000
_ACCEPT = "text/markdown, text/html;q=0.9, application/xhtml+xml;q=0.9, text/plain;q=0.8, */*;q=0.5"


@dataclass(frozen=True)
class Page:
    """A fetched page. `url` is its address after redirects."""

    url: str
    content_type: str
    body: bytes


async def fetch(
    url: str, private_hosts: Sequence[str] = (), *, seconds: float = SECONDS, max_bytes: int = MAX_BYTES
) -> Page:
    """Fetch the page at `url`, of at most `max_bytes` bytes, within `seconds`.

    Raises:
        ToolError: the URL is not an http address or is private, or the response is too large, too slow, redirected too
            often or not successful.
    """
    try:
        async with asyncio.timeout(seconds):
            await load_httpx()
            return await _follow_redirects(parse_url(url), tuple(private_hosts), max_bytes)
    except TimeoutError as error:
        raise ToolError(f"{url[:200]} did not load within {seconds:g} s; read another page") from error


async def _follow_redirects(target: Target, private_hosts: Sequence[str], max_bytes: int) -> Page:
    for _ in range(MAXREDIRECTS + 1):
        found = await _fetch_once(target, private_hosts, max_bytes)
        if isinstance(found, Page):
            return found
        target = found
    raise ToolError(f"{target.url[:200]} redirects more than {MAXREDIRECTS} times")


async def _fetch_once(target: Target, private_hosts: Sequence[str], max_bytes: int) -> Page | Target:
    """Return the page, or the target of its redirect."""
    import httpx

    proxy = _proxy_for(target, private_hosts)
    address = await _checked_address(target, private_hosts, by_proxy=proxy is not None)
    try:
        async with httpx.AsyncClient(
            proxy=proxy, trust_env=False, verify=certificates(), timeout=_CONNECT_SECONDS
        ) as client:
            response = await client.send(_request(client, target, address), stream=True)
            try:
                if response.status_code in REDIRECTS:
                    return parse_url(urljoin(target.url, response.headers.get("location", "")))
                _check(response, target)
                return Page(
                    target.url, response.headers.get("content-type", ""), await _body(response, target, max_bytes)
                )
            finally:
                await response.aclose()
    except httpx.TimeoutException as error:
        raise Unavailable(f"{target.host} did not answer in time; read another page") from error
    except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
        raise Unavailable(f"{target.url[:200]} cannot be read ({type(error).__name__})") from error


def _request(client: "httpx.AsyncClient", target: Target, address: str) -> "httpx.Request":
    """Build a request to the address that was checked, so that the name is not resolved again."""
    import httpx

    url = httpx.URL(target.url)
    headers = {"user-agent": user_agent(), "accept": _ACCEPT, "accept-encoding": "gzip", "host": target.netloc}
    if not address:
        return client.build_request("GET", url, headers=headers)
    extensions = {"sni_hostname": target.host}
    return client.build_request("GET", url.copy_with(host=address), headers=headers, extensions=extensions)


async def _checked_address(target: Target, private_hosts: Sequence[str], *, by_proxy: bool) -> str:
    """Return the address to connect to; empty when a proxy resolves the name."""
    addresses = await resolve(target)
    if not is_allowed_host(target, private_hosts):
        check_public(target, addresses)
    if by_proxy:
        return ""
    if not addresses:
        raise ToolError(f"cannot resolve the host {target.host}; check the address")
    return addresses[0]


def _proxy_for(target: Target, private_hosts: Sequence[str]) -> str | None:
    """Return the user's proxy for this address, if any."""
    if is_allowed_host(target, private_hosts) or proxy_bypass(target.host):
        return None
    proxies = getproxies()
    return proxies.get(target.scheme) or proxies.get("all") or os.environ.get("ALL_PROXY")


def _check(response: "httpx.Response", target: Target) -> None:
    status = response.status_code
    if status < 300:
        return
    what = f"{target.url[:200]} answered {status} {response.reason_phrase}".rstrip()
    if status in (404, 410):
        raise NotFound(f"{what}; check the address, or search for the page")
    if status == 429:
        raise TooManyRequests(f"{what}: too many requests; read another page in the meantime")
    if status >= 500:
        raise Unavailable(f"{what}; try again later, or read another page")
    raise ToolError(f"{what}; it may require a login, which this tool never sends; read another page")


async def _body(response: "httpx.Response", target: Target, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in _decompress(response):
        body += chunk
        if len(body) > max_bytes:
            raise ToolError(f"{target.url[:200]} is larger than {max_bytes:,} bytes and was not read")
    return bytes(body)


async def _decompress(response: "httpx.Response") -> AsyncIterator[bytes]:
    """Yield the body, decompressed in chunks, so that a compression bomb is caught by the size limit."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in response.aiter_raw():
            yield chunk
    elif encoding in ("gzip", "x-gzip", "deflate"):
        decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        async for chunk in response.aiter_raw():
            yield decompressor.decompress(chunk, _CHUNK_BYTES)
            while decompressor.unconsumed_tail:
                await asyncio.sleep(0)  # let other tasks run between two chunks
                yield decompressor.decompress(decompressor.unconsumed_tail, _CHUNK_BYTES)
    else:
        raise ToolError(f"the page uses the compression {encoding[:50]!r}, which is not supported")
