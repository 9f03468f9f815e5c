"""The hosts that network `list` allows: the configured package index, the Hub, GitHub, and the user's additions."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from ml_intern.configs.hosts import hub_url
from ml_intern.sandbox.send_limits import SendLimits

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
_HUB = (".huggingface.co", ".hf.co")
_PORTS = (80, 443)


@dataclass(frozen=True)
class AllowedHosts:
    """An allow-list of hosts. A name that begins with a dot matches every subdomain."""

    names: tuple[str, ...]
    endpoints: frozenset[tuple[str, int]] = frozenset()
    """Host and port of addresses that the user configured; they may be private."""
    indexes: frozenset[str] = frozenset()
    """host:port of the package indexes, whose content is installed rather than read."""
    limits: SendLimits | None = None
    """Limits on what is sent to the allowed hosts."""

    def allows(self, host: str, port: int) -> bool:
        """Return whether connections to this host and port are allowed."""
        host = host.lower().rstrip(".")
        if (host, port) in self.endpoints:
            return True
        is_allowed_host = any(host == name or (name.startswith(".") and host.endswith(name)) for name in self.names)
        return is_allowed_host and port in _PORTS

    def allows_address(self, host: str, port: int, address: str) -> bool:
        """Return whether connections to the resolved address of an allowed name are allowed.

        Loopback and link-local addresses (cloud metadata services) are never allowed. Private addresses are not
        allowed for subdomains of a domain the user added, because the domain's owner controls its DNS.
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
        """Return the host's own ports used by configured endpoints; they are forwarded with the same number."""
        return tuple(sorted({port for host, port in self.endpoints if host in {"localhost", "127.0.0.1"}}))


NO_HOSTS = AllowedHosts(())


def allowed_hosts(environment: Mapping[str, str], additional: Iterable[str] = ()) -> AllowedHosts:
    """Return the defaults, the configured indexes and Hub, and `additional` entries (host, .domain or URL)."""
    added = list(additional)
    endpoints = frozenset(_endpoints([*_urls(environment, _CONFIGURED), *(one for one in added if "://" in one)]))
    names = (*_ALWAYS, *(one.lower() for one in added if "://" not in one))
    return AllowedHosts(names, endpoints, index_endpoints(environment))


def without_hub(hosts: AllowedHosts) -> AllowedHosts:
    """Return the hosts without those of the Hub."""
    hub = urlsplit(hub_url())
    place = (hub.hostname or "", hub.port or (443 if hub.scheme == "https" else 80))
    names = (name for name in hosts.names if not any(f".{name.lstrip('.')}".endswith(one) for one in _HUB))
    return replace(hosts, names=tuple(names), endpoints=hosts.endpoints - {place})


def index_endpoints(environment: Mapping[str, str]) -> frozenset[str]:
    """Return host:port of the package indexes configured in the environment."""
    configured = (f"{host}:{port}" for host, port in _endpoints(_urls(environment, _INDEX_SETTINGS)))
    return frozenset([*configured, *(f"{host}:{port}" for host in _INDEXES for port in _PORTS)])


def _urls(environment: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [word for name in names for word in environment.get(name, "").replace(",", " ").split()]


def _endpoints(urls: Iterable[str]) -> Iterator[tuple[str, int]]:
    for url in urls:
        # uv also accepts indexes of the form name=URL.
        parts = urlsplit(url if "://" in url.partition("=")[0] else url.partition("=")[2] or url)
        if parts.scheme in {"http", "https"} and parts.hostname:
            yield parts.hostname.lower(), parts.port or (443 if parts.scheme == "https" else 80)
