"""An issuer of logins by OpenID Connect: authorization code with PKCE, for one client."""

import base64
import hashlib
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes.loopback import Loopback

CLIENT, SECRET = "client", "secret-of-the-client"


@dataclass
class Issuer:
    """The issuer. `claims` are those of the user who is signed in there, `wrong` replaces claims of the id token."""

    claims: dict[str, Any]
    wrong: dict[str, Any] = field(default_factory=dict[str, Any])
    address: str = ""
    asked: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """The requests by the code that answered them."""

    def __post_init__(self) -> None:
        self._key = RSAKey.generate_key(2048, {"kid": "k1"})

    def server(self) -> Loopback:
        return Loopback(
            [
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
            ]
        )

    async def _metadata(self, _: Request) -> Response:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        found = {name: f"{self.address}/{path}" for name, path in ends.items()}
        return JSONResponse({"issuer": self.address, "id_token_signing_alg_values_supported": ["RS256"], **found})

    async def _keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        given = dict(request.query_params)
        assert (given["response_type"], given["code_challenge_method"], given["client_id"]) == ("code", "S256", CLIENT)
        code = f"code{len(self.asked)}"
        self.asked[code] = given
        return RedirectResponse(f"{given['redirect_uri']}?{urlencode({'code': code, 'state': given['state']})}")

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        given = self.asked.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if challenge != given["code_challenge"] or request.headers["authorization"] != f"Basic {basic}":
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": given["nonce"]}
        token = jwt.encode({"alg": "RS256", "kid": "k1"}, {**claims, **self.claims, **self.wrong}, self._key)
        return JSONResponse({"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": token})
