"""Which hosts a sandbox with network `list` may reach: the package index as configured, the Hub, GitHub, the user's."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_INDEXES = ("pypi.org", "files.pythonhosted.org", "download.pytorch.org", "download-r2.pytorch.org")
_ALWAYS = (
    *_INDEXES, "huggingface.co", "hf.co", ".hf.co", ".huggingface.co", "github.com", "api.github.com",
    "codeload.github.com", ".githubusercontent.com",
)  # fmt: skip
_INDEX_SETTINGS = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_PYTHON_INSTALL_MIRROR",
)  # fmt: skip
_CONFIGURED = (*_INDEX_SETTINGS, "HF_ENDPOINT")
_PORTS = (80, 443)


@dataclass(frozen=True)
class Hosts:
    """An allow-list. A name that begins with a dot stands for everything below it."""

    names: tuple[str, ...]
    endpoints: frozenset[tuple[str, int]] = frozenset()
    """Host and port of addresses the user configured; these may be private."""
    indexes: frozenset[str] = frozenset()
    """host:port of the package indexes: what comes from them is installed, not read."""

    def allows(self, host: str, port: int) -> bool:
        """Tell whether a connection may be asked for at all."""
        host = host.lower().rstrip(".")
        if (host, port) in self.endpoints:
            return True
        is_allowed_host = any(host == name or (name.startswith(".") and host.endswith(name)) for name in self.names)
        return is_allowed_host and port in _PORTS

    def allows_address(self, host: str, port: int, address: str) -> bool:
        """Tell whether the address that an allowed name resolved to may be connected to.

        Never this machine or its link (where clouds keep credentials), and no private one for a name below a domain
        that the user allowed: whoever rules that domain could point it there.
        """
        host = host.lower().rstrip(".")
        if (host, port) in self.endpoints:
            return True
        found = ipaddress.ip_address(address)
        if found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast:
            return False
        is_trusted = host in self.names or any(host.endswith(name) for name in _ALWAYS if name.startswith("."))
        return is_trusted or found.is_global

    @property
    def loopback_ports(self) -> tuple[int, ...]:
        """Ports of this machine that a configured endpoint names; they are forwarded under the same number."""
        return tuple(sorted({port for host, port in self.endpoints if host in {"localhost", "127.0.0.1"}}))


NO_HOSTS = Hosts(())


def hosts_for(environment: Mapping[str, str], allowed: Iterable[str] = ()) -> Hosts:
    """The allow-list: ours, what index and Hub settings in `environment` name, and `allowed` (host, .domain or URL)."""
    own = list(allowed)
    endpoints = frozenset(_endpoints([*_urls(environment, _CONFIGURED), *(one for one in own if "://" in one)]))
    names = (*_ALWAYS, *(one.lower() for one in own if "://" not in one))
    return Hosts(names, endpoints, index_places(environment))


def index_places(environment: Mapping[str, str]) -> frozenset[str]:
    """host:port of the package indexes that are used with these variables."""
    configured = (f"{host}:{port}" for host, port in _endpoints(_urls(environment, _INDEX_SETTINGS)))
    return frozenset([*configured, *(f"{host}:{port}" for host in _INDEXES for port in _PORTS)])


def _urls(environment: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [word for name in names for word in environment.get(name, "").replace(",", " ").split()]


def _endpoints(urls: Iterable[str]) -> Iterator[tuple[str, int]]:
    for url in urls:
        # uv's own form of an index is name=URL.
        parts = urlsplit(url if "://" in url.partition("=")[0] else url.partition("=")[2] or url)
        if parts.scheme in {"http", "https"} and parts.hostname:
            yield parts.hostname.lower(), parts.port or (443 if parts.scheme == "https" else 80)
