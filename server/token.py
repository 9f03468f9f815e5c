"""The token of a server: made at each start, known to the user who started it, and required with every request.

The server itself gets only the token's digest, so that its environment does not contain the token.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping

HEADER = "x-api-key"
"""The header in which LangGraph's SDK sends its `api_key`."""
_HEADERS = (HEADER.encode(), b"authorization")
_BEARER = b"bearer "


def new_token() -> str:
    """Return a random token for use in addresses and headers."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """Return the digest by which the server recognizes the token."""
    return hashlib.sha256(token.encode("latin-1", "replace")).hexdigest()


def has_token(digest: str, headers: Mapping[bytes, bytes], path: str) -> bool:
    """Return whether a header or the first part of the path is the token."""
    return any(hmac.compare_digest(token_digest(given), digest) for given in (*tokens_in(headers), _first(path)))


def without_token(digest: str, path: str) -> str:
    """Return the path without the token that it may begin with."""
    first = _first(path)
    return path[len(first) + 1 :] or "/" if hmac.compare_digest(token_digest(first), digest) else path


def without_token_headers(headers: "list[tuple[bytes, bytes]]") -> "list[tuple[bytes, bytes]]":
    """Return the headers without those that carry a token, because the server may save the headers of a run."""
    return [(name, value) for name, value in headers if name not in _HEADERS]


def tokens_in(headers: Mapping[bytes, bytes]) -> Iterator[str]:
    """Yield what the headers for tokens contain, also if it is empty."""
    for name in _HEADERS:
        value = headers.get(name, b"")
        yield (value[len(_BEARER) :] if value.lower().startswith(_BEARER) else value).decode("latin-1").strip()


def _first(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""
