"""Fetching pages of strangers: public addresses only, checked again at every redirect, no credentials, capped."""

import asyncio
import os
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

from ml_intern.execution.call import ToolError
from ml_intern.net.addresses import Target, check_public, is_named, resolve, target_of
from ml_intern.net.service import NotThere, TooMany, Unavailable, certificates, load_httpx, user_agent

if TYPE_CHECKING:
    import httpx

SECONDS = 30.0
"""For the whole of a page, redirects included."""
MAX_BYTES = 10_000_000
MAX_REDIRECTS = 8
_CONNECT_SECONDS = 10.0
_PIECE = 250_000
_REDIRECTS = {301, 302, 303, 307, 308}
_ACCEPT = "text/markdown, text/html;q=0.9, application/xhtml+xml;q=0.9, text/plain;q=0.8, */*;q=0.5"


@dataclass(frozen=True)
class Page:
    """What was fetched, and from where in the end."""

    url: str
    content_type: str
    body: bytes


async def fetch(
    url: str, private_hosts: Sequence[str] = (), *, seconds: float = SECONDS, most: int = MAX_BYTES
) -> Page:
    """The page at `url`, when it has no more than `most` bytes and is there within `seconds`.

    Raises:
        ToolError: no http address, a private one, too large, too slow, too many redirects, or not a success.
    """
    try:
        async with asyncio.timeout(seconds):
            await load_httpx()
            return await _followed(target_of(url), tuple(private_hosts), most)
    except TimeoutError as error:
        raise ToolError(f"{url[:200]} was not there within {seconds:g} s; read another page") from error


async def _followed(target: Target, private_hosts: Sequence[str], most: int) -> Page:
    for _ in range(MAX_REDIRECTS + 1):
        found = await _hop(target, private_hosts, most)
        if isinstance(found, Page):
            return found
        target = found
    raise ToolError(f"{target.url[:200]} redirects more than {MAX_REDIRECTS} times")


async def _hop(target: Target, private_hosts: Sequence[str], most: int) -> Page | Target:
    """The page, or where it redirects to."""
    import httpx

    proxy = _proxy_for(target, private_hosts)
    address = await _checked_address(target, private_hosts, by_proxy=proxy is not None)
    try:
        async with httpx.AsyncClient(
            proxy=proxy, trust_env=False, verify=certificates(), timeout=_CONNECT_SECONDS
        ) as client:
            response = await client.send(_request(client, target, address), stream=True)
            try:
                if response.status_code in _REDIRECTS:
                    return target_of(urljoin(target.url, response.headers.get("location", "")))
                _check(response, target)
                return Page(target.url, response.headers.get("content-type", ""), await _body(response, target, most))
            finally:
                await response.aclose()
    except httpx.TimeoutException as error:
        raise Unavailable(f"{target.host} did not answer in time; read another page") from error
    except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
        raise Unavailable(f"{target.url[:200]} cannot be read ({type(error).__name__})") from error


def _request(client: "httpx.AsyncClient", target: Target, address: str) -> "httpx.Request":
    """A request to the address that was checked: the name is not looked up again."""
    import httpx

    url = httpx.URL(target.url)
    headers = {"user-agent": user_agent(), "accept": _ACCEPT, "accept-encoding": "gzip", "host": target.netloc}
    if not address:
        return client.build_request("GET", url, headers=headers)
    extensions = {"sni_hostname": target.host}
    return client.build_request("GET", url.copy_with(host=address), headers=headers, extensions=extensions)


async def _checked_address(target: Target, private_hosts: Sequence[str], *, by_proxy: bool) -> str:
    """The address to connect to; empty where a proxy looks the name up."""
    addresses = await resolve(target)
    if not is_named(target, private_hosts):
        check_public(target, addresses)
    if by_proxy:
        return ""
    if not addresses:
        raise ToolError(f"there is no host {target.host}; check the address")
    return addresses[0]


def _proxy_for(target: Target, private_hosts: Sequence[str]) -> str | None:
    """The user's own proxy for this address, if there is one."""
    if is_named(target, private_hosts) or proxy_bypass(target.host):
        return None
    proxies = getproxies()
    return proxies.get(target.scheme) or proxies.get("all") or os.environ.get("ALL_PROXY")


def _check(response: "httpx.Response", target: Target) -> None:
    status = response.status_code
    if status < 300:
        return
    what = f"{target.url[:200]} answered {status} {response.reason_phrase}".rstrip()
    if status in (404, 410):
        raise NotThere(f"{what}; check the address, or search for the page")
    if status == 429:
        raise TooMany(f"{what}: too many requests; read another page meanwhile")
    if status >= 500:
        raise Unavailable(f"{what}; try again later, or read another page")
    raise ToolError(f"{what}; it may want a login, which is never given here; read another page")


async def _body(response: "httpx.Response", target: Target, most: int) -> bytes:
    body = bytearray()
    async for chunk in _decoded(response):
        body += chunk
        if len(body) > most:
            raise ToolError(f"{target.url[:200]} is larger than {most:,} bytes and is not read")
    return bytes(body)


async def _decoded(response: "httpx.Response") -> AsyncIterator[bytes]:
    """The body's bytes; what a few compressed ones stand for is unfolded piece by piece."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in response.aiter_raw():
            yield chunk
    elif encoding in ("gzip", "x-gzip", "deflate"):
        unfold = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        async for chunk in response.aiter_raw():
            yield unfold.decompress(chunk, _PIECE)
            while unfold.unconsumed_tail:
                await asyncio.sleep(0)  # others have their turn between two pieces
                yield unfold.decompress(unfold.unconsumed_tail, _PIECE)
    else:
        raise ToolError(f"the page is compressed by {encoding[:50]!r}, which was not asked for")
