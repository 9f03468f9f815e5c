"""Login by OpenID Connect against an issuer on loopback."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ml_intern.configs.settings import LoginSettings, TeamSettings
from ml_intern.server.team.serve import team_app
from ml_intern.server.web.access import Policy
from ml_intern.server.web.serve import WebServer, bound_socket
from ml_intern.session.team.following import open_team_threads
from tests.fakes.issuer import CLIENT, SECRET, Issuer
from tests.fakes.postgres import PostgresServer
from tests.server.web.conftest import SECONDS, TOKEN

ADA = {"sub": "1", "preferred_username": "Ada L", "email": "ada@example.org", "email_verified": True}


@contextmanager
def served(settings: LoginSettings) -> Iterator[str]:
    """Serve the threads of the database in the environment."""
    listening = bound_socket("127.0.0.1", 0, "")
    port = int(listening.getsockname()[1])
    servers: list[WebServer] = []

    async def serve() -> None:
        async with open_team_threads() as threads:
            servers.append(WebServer(team_app(Policy(TOKEN, port), threads, TeamSettings(login=settings))))
            await servers[0].serve(sockets=[listening])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        servers[0].should_exit = True
        thread.join(SECONDS)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    found = Issuer({})
    with found.server() as server:
        found.address = server.url
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer, issuer: Issuer) -> Iterator[str]:
    root: Path = tmp_path_factory.mktemp("login")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_INTERN_HOME", str(root / "home"))
        patch.setenv("ML_INTERN_DATABASE", postgres.new_database())
        patch.setenv("ML_INTERN_LOGIN_SECRET", SECRET)
        patch.setenv("NO_PROXY", "127.0.0.1")
        settings = LoginSettings(issuer=issuer.address, client_id=CLIENT, users=("*@example.org",), admins=("root",))
        with served(settings) as url:
            yield url


@pytest.fixture
def browser(site: str, issuer: Issuer) -> Iterator[httpx.Client]:
    issuer.claims, issuer.wrong = dict(ADA), {}
    with httpx.Client(base_url=site, trust_env=False, timeout=SECONDS) as client:
        yield client


def callback(browser: httpx.Client) -> str:
    """Begin a login, sign in at the issuer, and return the address to which it sends the browser."""
    begun = browser.get("/login")
    assert begun.status_code == 302, begun.text
    return str(httpx.get(begun.headers["location"], trust_env=False).headers["location"])


def me(browser: httpx.Client) -> Any:
    return browser.get("/api/me").json()


def test_a_user_is_added_at_the_first_login_and_known_at_the_next(browser: httpx.Client, issuer: Issuer) -> None:
    assert browser.get("/", headers={"accept": "text/html"}).headers["location"] == "/login"
    done = browser.get(callback(browser))
    assert (done.status_code, done.headers["cache-control"]) == (200, "no-store")
    assert "SameSite=strict" in done.headers["set-cookie"]
    assert me(browser) == {"name": "ada-l", "admin": False}
    assert browser.get("/settings").status_code == 404
    issuer.claims["preferred_username"] = "renamed"
    browser.cookies.clear()
    browser.get(callback(browser))
    assert me(browser)["name"] == "ada-l"


def test_an_admin_is_one_by_the_settings(browser: httpx.Client, issuer: Issuer) -> None:
    issuer.claims = {"sub": "2", "preferred_username": "root"}
    browser.get(callback(browser))
    assert me(browser) == {"name": "root", "admin": True}


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "3", "preferred_username": "eve", "email": "eve@evil.example", "email_verified": True},
        {"sub": "4", "preferred_username": "eve", "email": "eve@example.org", "email_verified": False},
        {"sub": "5", "preferred_username": "eve", "email": "eve@example.org"},
    ],
)
def test_others_are_refused(browser: httpx.Client, issuer: Issuer, claims: dict[str, Any]) -> None:
    issuer.claims = claims
    refused = browser.get(callback(browser))
    assert (refused.status_code, "eve may not use this server" in refused.text) == (403, True)
    assert browser.get("/api/me").status_code == 401


def test_a_name_that_is_taken_does_not_lead_to_its_user(browser: httpx.Client, issuer: Issuer) -> None:
    issuer.claims = {**ADA, "sub": "6", "preferred_username": "operator"}
    assert browser.get(callback(browser)).status_code == 403
    assert browser.get("/api/me").status_code == 401


@pytest.mark.parametrize("wrong", [{"nonce": "other"}, {"iss": "https://evil.example"}, {"aud": "other"}, {"exp": 1}])
def test_a_token_for_something_else_is_refused(browser: httpx.Client, issuer: Issuer, wrong: dict[str, Any]) -> None:
    issuer.wrong = wrong
    assert browser.get(callback(browser)).status_code == 403
    assert browser.get("/api/me").status_code == 401


def test_a_login_belongs_to_the_browser_that_began_it(browser: httpx.Client, site: str) -> None:
    address = callback(browser)
    with httpx.Client(base_url=site, trust_env=False) as other:
        assert other.get(address).status_code == 403
    forged = address.replace(parse_qs(urlsplit(address).query)["state"][0], "forged")
    assert browser.get(forged).status_code == 403
    assert browser.get(address).status_code in (200, 403)
    assert browser.get(address).status_code == 403
