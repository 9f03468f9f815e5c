"""The services that tools speak to, each with its base URL in one table; settings under `hosts` name mirrors.

The Hub's own address is the variable HF_ENDPOINT, GitHub's is GITHUB_API_URL.
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
"""Base URLs without a closing slash, by the name a setting gives them."""

_HOST = re.compile(r"\.?[\w-]+(?:\.[\w-]+)*\.?|[0-9a-fA-F:.]+")


def base_url(given: Mapping[str, str], name: str) -> str:
    """Where the service `name` of HOSTS is, as the settings say or as it ships."""
    return given.get(name, HOSTS[name]).rstrip("/")


def hub_url() -> str:
    """The address of the Hub."""
    return (os.environ.get("HF_ENDPOINT") or HUB.official_urls[0]).rstrip("/")


def github_api_url() -> str:
    """The address of GitHub's API."""
    return (os.environ.get("GITHUB_API_URL") or GITHUB.official_urls[0]).rstrip("/")


def check_hosts(given: Mapping[str, str]) -> Mapping[str, str]:
    """`given` when each key is one of HOSTS and each value an http address. Raises ValueError."""
    for name, url in given.items():
        if name not in HOSTS:
            raise ValueError(f"there is no service {name!r}; there are {', '.join(HOSTS)}")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise ValueError(f"{name} is no http address: {url!r}")
    return given


def check_places(given: tuple[str, ...]) -> tuple[str, ...]:
    """`given` when each is a host, a .domain or an http address. Raises ValueError."""
    for place in given:
        if "://" not in place:
            sound = _HOST.fullmatch(place) is not None
        else:
            parts = urlsplit(place)
            sound = (
                parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.username and parts.port != 0
            )
        if not sound:
            raise ValueError(f"{place!r} is no host, no .domain and no http address")
    return given
