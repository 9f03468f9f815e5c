"""Access to the web page: a token or a cookie, exact Host and Origin, limits, and safe headers.

Any page open in a browser and any user of this machine can send requests to a local address.
"""

import asyncio
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ml_intern.configs.errors import MLInternError
from ml_intern.server.peers import is_own_peer
from ml_intern.server.token import has_token, token_digest
from ml_intern.server.web.callers import Caller, Operator, set_caller
from ml_intern.server.web.pages.layout import CSRF

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
        return hmac.new(self.token.encode(), b"cookie", "sha256").hexdigest()

    @property
    def csrf(self) -> str:
        """Return the token that the pages of the operator send with every change."""
        return csrf_of(self.cookie)


def csrf_of(cookie: str) -> str:
    """Return the token that the pages of a browser with this cookie send with every change."""
    return hmac.new(cookie.encode(), b"csrf", "sha256").hexdigest()


class Accounts(Protocol):
    """Finds out who sent a request. Each method may raise MLInternError."""

    async def by_token(self, headers: Headers) -> Caller | None:
        """Return the caller whose token is in the headers, or None."""
        ...

    async def by_cookie(self, cookie: str) -> Caller | None:
        """Return the caller whose browser has a cookie, or None."""
        ...

    async def cookie_for(self, token: str) -> str:
        """Return the value of the cookie for a browser that opened the page with a token; "" if it is wrong."""
        ...

    @property
    def login(self) -> Sequence[str]:
        """The paths of a login, which need no caller. The first one begins it."""
        ...


class SingleUser:
    """Only the operator, who has the token of the server or the cookie made from it."""

    login: Sequence[str] = ()

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._digest = token_digest(policy.token)

    async def by_token(self, headers: Headers) -> Caller | None:
        """Return the operator if the headers have the token."""
        return Operator() if has_token(self._digest, headers, "") else None

    async def by_cookie(self, cookie: str) -> Caller | None:
        """Return the operator if the cookie was made from the token."""
        return Operator() if hmac.compare_digest(cookie.encode(), self._policy.cookie.encode()) else None

    async def cookie_for(self, token: str) -> str:
        """Return the cookie that is made from the token."""
        return self._policy.cookie if hmac.compare_digest(token_digest(token), self._digest) else ""


class WebAccess:
    """Refuse requests without a token, from other pages, users and host names, and those that are too large."""

    def __init__(self, app: "ASGIApp", policy: Policy, accounts: Accounts) -> None:
        self._app = app
        self._policy = policy
        self._accounts = accounts

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass on one request, or refuse it."""
        if scope["type"] != "http":
            return
        headers, send = dict(scope["headers"]), _with_headers(send)
        if not await self._is_allowed(scope, headers):
            await PlainTextResponse(REFUSAL, 403)(scope, receive, send)
            return
        try:
            response = await self._opened(scope) or await self._refusal(scope, headers)
        except MLInternError as error:
            response = PlainTextResponse(str(error), 503)
        if response is not None:
            await response(scope, receive, send)
        else:
            await self._app(scope, _bounded(receive), send)

    async def _refusal(self, scope: "Scope", headers: Headers) -> Response | None:
        """Return the answer to a request that is refused. Else set its caller."""
        login = self._accounts.login
        if scope["path"] in login and scope["method"] in SAFE_METHODS:
            return None
        cookie = cookie_of(self._policy, headers)
        caller = await self._accounts.by_token(headers)
        by_token = caller is not None
        if caller is None and cookie:
            caller = await self._accounts.by_cookie(cookie)
        if caller is None:
            is_page = scope["method"] == "GET" and scope["path"] == "/" and b"text/html" in headers.get(b"accept", b"")
            return RedirectResponse(login[0], 303) if login and is_page else PlainTextResponse(UNKNOWN, 401)
        if not (by_token or scope["method"] in SAFE_METHODS or _is_own_page(headers, cookie)):
            return PlainTextResponse(REFUSAL, 403)
        if int(headers.get(b"content-length", b"0")) > MAX_BODY:
            return PlainTextResponse(f"The request is larger than {MAX_BODY} bytes.", 413)
        set_caller(scope, caller)
        CSRF.set(csrf_of(cookie))
        return None

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

    async def _opened(self, scope: "Scope") -> Response | None:
        """Return the answer to a request that opens the page with a token in its address.

        A cookie replaces the token, which is in the browser's history.
        """
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not given or scope["path"] != "/" or scope["method"] != "GET":
            return None
        cookie = await self._accounts.cookie_for(given)
        return signed_in(self._policy, cookie) if cookie else None


def cookie_of(policy: Policy, headers: Headers) -> str:
    """Return the value of the server's cookie in the headers, or ""."""
    try:
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return ""
    given = cookies.get(policy.cookie_name)
    return given.value if given is not None else ""


def signed_in(policy: Policy, cookie: str) -> Response:
    """Return the answer that gives a browser its cookie and opens the first page."""
    response = RedirectResponse("/", 303)
    set_cookie(response, policy, cookie)
    return response


def set_cookie(response: Response, policy: Policy, cookie: str) -> None:
    """Give a browser its cookie."""
    response.set_cookie(policy.cookie_name, cookie, httponly=True, samesite="strict", secure=bool(policy.origin))


def remove_cookie(response: Response, policy: Policy) -> None:
    """Take the cookie from a browser."""
    response.delete_cookie(policy.cookie_name, httponly=True, samesite="strict", secure=bool(policy.origin))


def _is_own_page(headers: Headers, cookie: str) -> bool:
    """Return whether a change comes from a page of this server that was made for the browser with this cookie."""
    return b"origin" in headers and hmac.compare_digest(headers.get(CSRF_HEADER, b""), csrf_of(cookie).encode())


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
