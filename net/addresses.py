"""Check which network addresses may be fetched: public ones, and hosts the user has allowed."""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ml_intern.execution.call import ToolError
from ml_intern.net.blocking import run_in_thread

_RESOLVE_SECONDS = 10.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_WEB_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Target:
    """A parsed http or https URL."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """Host and port as in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _WEB_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(url: str) -> Target:
    """Parse an http or https URL. Raises ToolError when it is not one, or contains credentials."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise ToolError(f"{url[:200]!r} is not a valid address: {error}") from error
    if parts.scheme not in _WEB_PORTS or not host:
        raise ToolError(f"{url[:200]!r} is not an http or https address")
    if parts.username or parts.password:
        raise ToolError("addresses with a user name or password are not fetched; remove them from the address")
    return Target(parts.geturl(), parts.scheme, host, port or _WEB_PORTS[parts.scheme])


def is_allowed_host(target: Target, private_hosts: Sequence[str]) -> bool:
    """Return whether the user allowed this host by name, as host or host:port."""
    return target.host in private_hosts or f"{target.host}:{target.port}" in private_hosts


async def resolve(target: Target) -> list[str]:
    """Return the addresses of a host; an empty list when the name cannot be resolved."""

    def look_up() -> list[str]:
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    return await run_in_thread(look_up, seconds=_RESOLVE_SECONDS, what=f"the name server for {target.host}")


def is_public(address: str) -> bool:
    """Return whether an address is public, also when it embeds an IPv4 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if found.teredo:
            return False
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def check_public(target: Target, addresses: Sequence[str]) -> None:
    """Raise ToolError when any of a host's addresses is not public."""
    private = next((address for address in addresses if not is_public(address)), "")
    if private:
        raise ToolError(
            f"{target.host} was not fetched: its address {private} is not public; "
            "the user can allow the host with the setting web.private_hosts"
        )
