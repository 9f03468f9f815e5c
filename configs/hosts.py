"""The base URLs of the services that tools use. The setting `hosts` replaces them with mirrors.

HF_ENDPOINT changes the address of the Hub, GITHUB_API_URL that of GitHub.
"""

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ml_intern.configs.providers import GITHUB, HUB

HOSTS: dict[str, str] = {
    "dataset_viewer": "https://datasets-server.huggingface.co",
    "semantic_scholar": "https://api.semanticscholar.org",
    "arxiv": "https://arxiv.org",
    "brave_search": "https://api.search.brave.com",
    "tavily": "https://api.tavily.com",
}
"""Base URLs without a trailing slash, by their name in the setting `hosts`."""

_HOST = re.compile(r"\.?[\w-]+(?:\.[\w-]+)*\.?|[0-9a-fA-F:.]+")


def base_url(given: Mapping[str, str], name: str) -> str:
    """Return the base URL of a service of HOSTS, from the settings or the default."""
    return given.get(name, HOSTS[name]).rstrip("/")


def hub_url() -> str:
    """Return the address of the Hub."""
    return (os.environ.get("HF_ENDPOINT") or HUB.official_urls[0]).rstrip("/")


def github_api_url() -> str:
    """Return the address of GitHub's API."""
    return (os.environ.get("GITHUB_API_URL") or GITHUB.official_urls[0]).rstrip("/")


def check_hosts(given: Mapping[str, str]) -> Mapping[str, str]:
    """Return `given`. Raises ValueError when a key is not in HOSTS or a value is not an http address."""
    for name, url in given.items():
        if name not in HOSTS:
            raise ValueError(f"unknown service {name!r}; use one of {', '.join(HOSTS)}")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise ValueError(f"{name} is not an http address: {url!r}")
    return given


def check_host_list(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return `given`. Raises ValueError when an entry is not a host, a .domain or an http address."""
    for place in given:
        if "://" not in place:
            valid = _HOST.fullmatch(place) is not None
        else:
            parts = urlsplit(place)
            valid = (
                parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.username and parts.port != 0
            )
        if not valid:
            raise ValueError(f"{place!r} is not a host, a .domain or an http address")
    return given
