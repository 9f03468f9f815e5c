"""Who may use the web page: every route needs the token, the page's own origin, and the right host."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from ml_intern.configs.errors import UsageError
from ml_intern.server.web.access import CSRF_HEADER, MAX_BODY, Policy
from ml_intern.server.web.app import create_app
from ml_intern.server.web.serve import bound_socket, checked_origin
from tests.server.web.conftest import SECONDS, TOKEN, Web

CSRF = CSRF_HEADER.decode()


def routes(*, named: bool = False) -> list[tuple[str, str]]:
    """Every method and path of the application. `named`: with braces around the names of its parts."""
    found = [route for route in create_app(Policy(TOKEN, 1)).routes if isinstance(route, Route)]
    paths = [(method, route.path) for route in found for method in sorted(route.methods or ())]
    return paths if named else [(method, path.replace("{", "").replace("}", "")) for method, path in paths]


@pytest.fixture
def bare(web: Web) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=web.url, trust_env=False, timeout=60) as client:
        yield client


def as_page(web: Web) -> dict[str, str]:
    """The headers that a browser sends from the page itself."""
    cookie = f"{web.policy.cookie_name}={web.policy.cookie}"
    return {"Cookie": cookie, "Origin": web.url, CSRF: web.policy.csrf, "Sec-Fetch-Site": "same-origin"}


def test_every_route_needs_the_token(bare: httpx.Client) -> None:
    found = [*routes(), ("GET", "/none"), ("OPTIONS", "/"), ("PUT", "/"), ("DELETE", "/t/x")]
    assert len(found) > 12
    for headers in ({}, {"x-api-key": "x"}, {"Cookie": f"ml-intern-1={TOKEN}"}, {"Authorization": "Bearer x"}):
        answers = {(method, path): bare.request(method, path, headers=headers) for method, path in found}
        assert {key: one.status_code for key, one in answers.items() if one.status_code not in (401, 403)} == {}


def test_the_token_in_the_address_becomes_a_cookie_that_does_not_contain_it(web: Web, bare: httpx.Client) -> None:
    assert bare.get("/?token=wrong").status_code == 401
    assert bare.get(f"/rows?token={TOKEN}").status_code == 401
    opened = bare.get(f"/?token={TOKEN}")
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert bare.get("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example"])
def test_another_host_name_is_refused_as_in_dns_rebinding(web: Web, bare: httpx.Client, host: str) -> None:
    assert bare.get("/", headers={**as_page(web), "Host": host}).status_code == 403


def test_a_change_needs_the_origin_and_the_token_of_the_page(web: Web, bare: httpx.Client) -> None:
    own = as_page(web)
    form = {"text": "", "folder": "/"}
    refused = [
        {**own, "Origin": "http://evil.example"},
        {**own, "Origin": "null"},
        {**own, "Origin": f"http://127.0.0.1:{web.policy.port + 1}"},
        {name: value for name, value in own.items() if name != "Origin"},
        {name: value for name, value in own.items() if name != CSRF},
        {**own, CSRF: "x"},
        {**own, "Sec-Fetch-Site": "cross-site"},
        {**own, "X-Forwarded-For": "1.2.3.4"},
    ]
    assert [bare.post("/new", data=form, headers=headers).status_code for headers in refused] == [403] * len(refused)
    assert bare.post("/new", data=form, headers=own).status_code == 409


def test_every_answer_forbids_frames_scripts_of_others_and_caching(web: Web, bare: httpx.Client) -> None:
    for reply in (bare.get("/"), web.client.get("/"), web.client.get("/none"), web.client.get("/t/none")):
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (reply.headers["x-frame-options"], reply.headers["cache-control"]) == ("DENY", "no-store")
        assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_large_body_is_refused_without_being_read(web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.policy.port), timeout=60) as client:
        head = f"POST /new HTTP/1.1\r\nHost: 127.0.0.1:{web.policy.port}\r\nx-api-key: {TOKEN}\r\n"
        client.sendall(f"{head}Content-Length: {100 * 1024 * 1024}\r\n\r\n".encode())
        assert b" 413 " in client.recv(100)
    chunks = (b"x" * 65_536 for _ in range(MAX_BODY // 65_536 + 2))
    with suppress(httpx.TransportError):  # the server ends the connection, or says so
        assert web.client.post("/new", content=chunks).status_code >= 400
    assert web.client.get("/rows").status_code == 200


async def test_a_client_that_leaves_while_it_sends_is_not_an_error_of_the_server() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    kind = (b"content-type", b"application/x-www-form-urlencoded")
    headers = [(b"host", b"127.0.0.1:1"), (b"x-api-key", TOKEN.encode()), kind]
    scope = {"type": "http", "method": "POST", "path": "/new", "query_string": b"", "headers": headers}
    await create_app(Policy(TOKEN, 1))(scope, receive, send)
    assert sent[0]["status"] == 413


def test_half_open_connections_do_not_keep_others_away_and_are_ended(web: Web) -> None:
    half = [socket.create_connection(("127.0.0.1", web.policy.port), timeout=SECONDS) for _ in range(100)]
    for one in half[1:]:
        one.sendall(b"GET / HTTP/1.1\r\nHost: x")
    assert web.client.get("/rows").status_code == 200
    for one in half:
        assert one.recv(1) == b""  # the server ends them
        one.close()


def test_other_interfaces_only_behind_a_tls_proxy() -> None:
    with pytest.raises(UsageError, match="not this machine's loopback address"):
        bound_socket("0.0.0.0", None, "")
    for wrong in ("http://x.example", "https://x.example/path", "x.example"):
        with pytest.raises(UsageError, match=r"web_page\.origin"):
            checked_origin(wrong)
    assert checked_origin("https://gpu.example.org/") == "https://gpu.example.org"
    behind = Policy(TOKEN, 1, "https://gpu.example.org")
    assert (set(behind.hosts), behind.cookie_name) == ({"gpu.example.org"}, "__Host-ml-intern-1")


def test_the_server_imports_neither_the_graph_nor_a_model_library() -> None:
    code = "import sys, ml_intern.server.web.serve; print(*(set(sys.modules) & {%s}))"
    names = "'litellm', 'langgraph', 'langchain_core', 'huggingface_hub', 'ml_intern.graph.build'"
    done = subprocess.run([sys.executable, "-c", code % names], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
