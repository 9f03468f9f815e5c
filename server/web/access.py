"""Access to the web page: the token or the cookie made from it, exact Host and Origin, limits, and safe headers.

Any page open in a browser and any user of this machine can send requests to a local address.
"""

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, RedirectResponse

from ml_intern.server.peers import is_own_peer
from ml_intern.server.token import has_token, token_digest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 2 * 1024 * 1024
"""Size of a request in bytes."""
SAFE_METHODS = ("GET", "HEAD")
CSRF_HEADER = b"x-csrf"
UNKNOWN = "The token is missing or wrong: open the address that `ml-intern web` printed."
REFUSAL = "Access denied: this address, page or user may not use the server."
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""The headers of every response."""
Headers = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Policy:
    """Who may use the server. `origin`: the address of a TLS proxy in front of it, such as https://gpu.example.org."""

    token: str
    port: int
    origin: str = ""

    @property
    def origins(self) -> frozenset[str]:
        """Return the origins of the server's own pages."""
        own = {self.origin} if self.origin else {f"http://{name}:{self.port}" for name in ("127.0.0.1", "localhost")}
        return frozenset(own)

    @property
    def hosts(self) -> frozenset[str]:
        """Return the values that the header Host may have."""
        return frozenset(origin.partition("://")[2] for origin in self.origins)

    @property
    def cookie_name(self) -> str:
        """Return the name of the cookie. Browsers send cookies to all ports of a host."""
        return f"__Host-ml-intern-{self.port}" if self.origin else f"ml-intern-{self.port}"

    @property
    def cookie(self) -> str:
        """Return the value of the cookie, from which the token cannot be found."""
        return self._derived("cookie")

    @property
    def csrf(self) -> str:
        """Return the token that pages send with every change."""
        return self._derived("csrf")

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.token.encode(), purpose.encode(), "sha256").hexdigest()


class WebAccess:
    """Refuse requests without the token, from other pages, users and host names, and those that are too large."""

    def __init__(self, app: "ASGIApp", policy: Policy) -> None:
        self._app = app
        self._policy = policy
        self._digest = token_digest(policy.token)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on one request, or refuse it."""
        if scope["type"] != "http":
            return
        headers, send = dict(scope["headers"]), _with_headers(send)
        if not await self._is_allowed(scope, headers):
            await PlainTextResponse(REFUSAL, 403)(scope, receive, send)
        elif self._opens(scope):
            await self._set_cookie(scope, receive, send)
        elif not (by_token := has_token(self._digest, headers, "")) and not self._has_cookie(headers):
            await PlainTextResponse(UNKNOWN, 401)(scope, receive, send)
        elif not (by_token or scope["method"] in SAFE_METHODS or self._is_own_page(headers)):
            await PlainTextResponse(REFUSAL, 403)(scope, receive, send)
        elif int(headers.get(b"content-length", b"0")) > MAX_BODY:
            await PlainTextResponse(f"The request is larger than {MAX_BODY} bytes.", 413)(scope, receive, send)
        else:
            await self._app(scope, _bounded(receive), send)

    async def _is_allowed(self, scope: "Scope", headers: Headers) -> bool:
        """Return whether host, origin and user are allowed. Browsers send the page's origin, programs none."""
        policy = self._policy
        if headers.get(b"host", b"").decode("latin-1") not in policy.hosts:
            return False
        if b"origin" in headers and headers[b"origin"].decode("latin-1") not in policy.origins:
            return False
        if headers.get(b"sec-fetch-site", b"none") == b"cross-site" and scope["method"] not in SAFE_METHODS:
            return False
        if not headers.get(b"content-length", b"0").isdigit():
            return False
        if policy.origin:  # the peer is the proxy
            return True
        is_forwarded = b"x-forwarded-for" in headers or b"forwarded" in headers
        return not is_forwarded and await asyncio.to_thread(is_own_peer, scope.get("client"), scope.get("server"))

    def _opens(self, scope: "Scope") -> bool:
        """Return whether a request opens the page with the token in its address."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        is_right = hmac.compare_digest(token_digest(given), self._digest)
        return scope["path"] == "/" and scope["method"] == "GET" and is_right

    async def _set_cookie(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Replace the token in the address, which is in the browser's history, by a cookie."""
        response, policy = RedirectResponse("/", 303), self._policy
        is_secure = bool(policy.origin)
        response.set_cookie(policy.cookie_name, policy.cookie, httponly=True, samesite="strict", secure=is_secure)
        await response(scope, receive, send)

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return False
        given = cookies.get(self._policy.cookie_name)
        return given is not None and hmac.compare_digest(given.value.encode(), self._policy.cookie.encode())

    def _is_own_page(self, headers: Headers) -> bool:
        """Return whether a change comes from a page of this server."""
        given = headers.get(CSRF_HEADER, b"")
        return b"origin" in headers and hmac.compare_digest(given, self._policy.csrf.encode())


def _with_headers(send: "Send") -> "Send":
    more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def with_headers(message: "Message") -> None:
        if message["type"] == "http.response.start":
            known = {name for name, _ in message["headers"]}
            stored = [] if b"cache-control" in known else [(b"cache-control", b"no-store")]
            message = {**message, "headers": [*message["headers"], *more, *stored]}
        await send(message)

    return with_headers


def _bounded(receive: "Receive") -> "Receive":
    """Return a `receive` that ends a request without a length when it is too large, as if the client had gone."""
    size = 0

    async def bounded() -> "Message":
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return {"type": "http.disconnect"} if size > MAX_BODY else message

    return bounded
