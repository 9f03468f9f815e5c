"""Login by OpenID Connect: /login sends a browser to the issuer, such as Hugging Face, which sends it to /callback.

Authorization code with PKCE, state and nonce, by Authlib. Needs the extra `team`.
"""

import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ml_intern.configs.errors import ConfigurationError, TemporaryError, UsageError
from ml_intern.configs.settings import LoginSettings
from ml_intern.server.web.access import Policy, set_cookie
from ml_intern.server.web.requests import Forbidden, get
from ml_intern.session.team.people import People, User

LOGIN, CALLBACK = "/login", "/callback"
SECONDS: Final = 600
"""The time in which a login has to be finished."""
_OPENED: Final = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>ml-intern</title>'
    '<p>Signed in. <a href="/">Continue</a></p>'
)
"""A page and not a redirect, which a browser that comes from the issuer would follow without the new cookie."""


@dataclass(frozen=True)
class Identity:
    """Someone whom the issuer has signed in. `email` is empty unless it is verified."""

    issuer: str
    subject: str
    name: str
    email: str

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> "Identity":
        """Return the identity in the claims of an id token."""
        email = str(claims.get("email") or "") if claims.get("email_verified") is True else ""
        name = str(claims.get("preferred_username") or email.partition("@")[0] or claims["sub"])
        return cls(str(claims["iss"]), str(claims["sub"]), name, email)

    @property
    def user_name(self) -> str:
        """Return the name as the name of a user."""
        return re.sub(r"[^a-z0-9._-]", "-", self.name.lower()).lstrip("._-")[:39]

    def fits(self, patterns: "tuple[str, ...]") -> bool:
        """Return whether the name or the verified address fits a pattern such as `*@example.org`."""
        return any(
            fnmatchcase(text.lower(), one.lower()) for one in patterns for text in (self.name, self.email) if text
        )


class Login:
    """The routes of a login."""

    def __init__(self, settings: LoginSettings, policy: Policy, people: People) -> None:
        self._settings, self._policy, self._people = settings, policy, people
        self._client = _client(settings)

    def routes(self) -> list[Route]:
        """Return the routes. What they need until the end of a login is in a cookie of its own."""
        from starlette.middleware.sessions import SessionMiddleware

        policy = self._policy
        key = hmac.new(policy.token.encode(), b"login", "sha256").hexdigest()
        session = Middleware(
            SessionMiddleware, secret_key=key, session_cookie=f"{policy.cookie_name}-login", max_age=SECONDS,
            same_site="lax", https_only=bool(policy.origin),
        )  # fmt: skip
        found = (get(LOGIN, self._login), get(CALLBACK, self._callback))
        return [Route(one.path, one.endpoint, methods=["GET"], middleware=[session]) for one in found]

    async def _login(self, request: Request) -> Response:
        """Send the browser to the issuer."""
        import httpx

        back = f"{min(self._policy.origins)}{CALLBACK}"
        try:
            answer: RedirectResponse = await self._client.authorize_redirect(request, back)
        except (httpx.HTTPError, RuntimeError, ValueError) as error:
            raise _unreachable(self._settings.issuer) from error
        return answer

    async def _callback(self, request: Request) -> Response:
        """Sign in the one whom the issuer names."""
        import httpx
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError

        try:
            token = await self._client.authorize_access_token(request)
        except (AuthlibBaseError, JoseError) as error:
            raise Forbidden("the login was refused or has expired", "start again at /login") from error
        except httpx.HTTPError as error:
            raise _unreachable(self._settings.issuer) from error
        claims, issuer = token.get("userinfo") or {}, self._settings.issuer.rstrip("/")
        if str(claims.get("iss")).rstrip("/") != issuer:
            raise Forbidden("the issuer did not say who signed in", "the scope openid is needed")
        user = await self._user(Identity.of(claims))
        await self._people.audit.add(user.name, "sign in", detail=self._settings.issuer)
        response = HTMLResponse(_OPENED)
        set_cookie(response, self._policy, await self._people.users.open_session(user))
        return response

    async def _user(self, identity: Identity) -> User:
        """Return the user of an identity, added at the first login if the settings allow it. Raises Forbidden."""
        settings, users = self._settings, self._people.users
        is_allowed = identity.fits((*settings.users, *settings.admins))
        known = await users.by_identity(identity.issuer, identity.subject)
        if not is_allowed:
            raise Forbidden(f"{identity.name[:60]} may not use this server", "ask its operator: team.login.users")
        if known is not None:
            return known
        is_admin = identity.fits(settings.admins)
        try:
            return await users.add_identity(identity.user_name, identity.issuer, identity.subject, admin=is_admin)
        except UsageError as error:
            raise Forbidden(error.message, "ask the operator of the server") from error


def _client(settings: LoginSettings) -> Any:
    """Return Authlib's client of the issuer. Raises ConfigurationError."""
    try:
        from authlib.integrations.starlette_client import OAuth
    except ImportError as error:
        raise ConfigurationError("logins need the extra [team]", "pip install 'ml-intern-graph[team]'") from error
    secret = os.environ.get("ML_INTERN_LOGIN_SECRET") or os.environ.get("OAUTH_CLIENT_SECRET")
    return OAuth().register(
        "login",
        client_id=settings.client_id,
        client_secret=secret,
        server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": settings.scopes, "code_challenge_method": "S256", "timeout": 20},
    )


def _unreachable(issuer: str) -> TemporaryError:
    return TemporaryError(f"{issuer} does not answer as an issuer of logins", "try again later")
