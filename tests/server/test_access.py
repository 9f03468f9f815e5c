"""Who may use the server: every route needs the token, the same user, and an exact origin and host."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from ml_intern.server.access import AccessControl, is_allowed
from ml_intern.server.peers import is_own_peer
from ml_intern.server.token import new_token, token_digest
from tests.server.studio import Studio, running_studio

TOKEN = new_token()
PORT = 2024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    pytest.importorskip("langgraph_api", reason="needs the extra [studio]: uv sync --extra studio")
    with running_studio(tmp_path_factory.mktemp("studio")) as started:
        yield started


def routes(server: Studio) -> list[tuple[str, str]]:
    """Every method and path that the server describes, and those it does not."""
    described = httpx.get(server.url + "/openapi.json", headers=server.headers).json()["paths"]
    known = [
        (method.upper(), path.replace("{", "").replace("}", "")) for path in described for method in described[path]
    ]
    hidden = ["/ok", "/info", "/docs", "/openapi.json", "/metrics", "/noauth", "/ui/x", "/", "/none", "//ok", "/a/mcp"]
    return known + [(method, path) for path in hidden for method in ("GET", "POST", "OPTIONS")]


def refused_headers(server: Studio) -> Iterator[dict[str, str]]:
    """Without the token, or with it from another page, to another host name, or through a proxy."""
    yield from ({}, {"x-api-key": "x" * 43}, {"Authorization": "Bearer x"}, {"Cookie": server.token})
    for origin in ("https://elsewhere.example", "null", f"{server.url}.elsewhere.example"):
        yield {**server.headers, "Origin": origin}
    for host in ("elsewhere.example", "127.0.0.1:1"):
        yield {**server.headers, "Host": host}
    yield {**server.headers, "X-Forwarded-For": "127.0.0.1"}


def saved(server: Studio) -> list[int]:
    """How many threads and assistants there are."""
    searches = (
        httpx.post(f"{server.url}/{name}/search", json={}, headers=server.headers) for name in ("threads", "assistants")
    )
    return [len(one.json()) for one in searches]


def test_every_route_needs_the_token_and_an_allowed_page_and_host(server: Studio) -> None:
    found = routes(server)
    assert len(found) > 60
    with httpx.Client(base_url=server.url) as client:
        before = saved(server)
        for headers in refused_headers(server):
            answers = {(method, path): client.request(method, path, headers=headers, json={}) for method, path in found}
            assert {key: one.status_code for key, one in answers.items() if one.status_code not in {401, 403}} == {}
        assert saved(server) == before
        assert client.post("/threads", headers=server.headers, json={}).status_code == 200
        assert saved(server) != before


def test_a_wrong_token_is_refused_wherever_it_is(server: Studio) -> None:
    wrong = server.token[:-1] + ("A" if server.token[-1] != "A" else "B")
    attempts = [
        httpx.post(f"{server.url}/threads/search", json={}, headers={"x-api-key": wrong}),
        httpx.post(f"{server.url}/threads/search", json={}, headers={"x-api-key": token_digest(server.token)}),
        httpx.post(f"{server.url}/{wrong}/threads/search", json={}),
        httpx.post(f"{server.url}/threads/search?token={server.token}", json={}),
    ]
    assert [one.status_code for one in attempts] == [401] * 4
    assert "`ml-intern studio` printed" in attempts[0].text


def test_the_token_is_accepted_in_a_header_and_in_the_path(server: Studio) -> None:
    attempts = [
        httpx.post(f"{server.url}/threads/search", json={}, headers=server.headers),
        httpx.post(f"{server.url}/threads/search", json={}, headers={"Authorization": f"Bearer {server.token}"}),
        httpx.post(f"{server.url}/{server.token}/threads/search", json={}),
        httpx.post(f"{server.url}/{server.token}/threads/search", json={}, headers={"x-api-key": "a LangSmith key"}),
    ]
    assert [one.status_code for one in attempts] == [200] * 4


async def test_langgraphs_sdk_works_with_either(server: Studio) -> None:
    model = server.lab.script({"text": "A"}, {"text": "B"})
    for number, client in enumerate(
        (get_client(url=server.url, api_key=server.token), get_client(url=f"{server.url}/{server.token}", api_key=None))
    ):
        async with client:
            thread = await client.threads.create(graph_id="agent")
            given: dict[str, Any] = {"messages": [{"role": "user", "content": f"hi {number}"}]}
            parts = client.runs.stream(thread["thread_id"], "agent", input=given, context={"model": model})
            assert [part async for part in parts]
            state = await client.threads.get_state(thread["thread_id"])
            assert server.token not in repr(state)


def test_pages_from_elsewhere_are_refused_even_with_the_token(server: Studio) -> None:
    def status(path: str = "/threads/search", **headers: str) -> int:
        return httpx.post(server.url + path, json={}, headers={**server.headers, **headers}).status_code

    own = server.url
    assert status() == status(Origin="https://smith.langchain.com") == status(Origin=own) == 200
    for origin in ("https://elsewhere.example", "null", "", "http://localhost:3000", "https://127.0.0.1", own + "/"):
        assert status(Origin=origin) == 403
    for host in ("elsewhere.example", "localhost", "127.0.0.1:1", "localhost.elsewhere.example"):
        assert status(Host=host) == 403
    assert status("/deploy") == status("/internal/truncate") == status(f"/{server.token}/internal/truncate") == 403
    assert status(**{"X-Forwarded-For": "10.0.0.1"}) == 403


def test_studios_page_may_ask_which_headers_it_may_send(server: Studio) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    answer = httpx.options(server.url + "/threads", headers={"Origin": "https://smith.langchain.com", **asks})
    assert answer.status_code == 200
    assert (
        httpx.options(server.url + "/threads", headers={"Origin": "https://elsewhere.example", **asks}).status_code
        == 403
    )


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to send a request as another user")
def test_another_user_is_refused_even_with_the_token(server: Studio) -> None:
    def status_as(uid: int) -> str:
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"x-api-key: {server.token}"]
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        argv = [*become, *command, server.url + "/ok"]
        return subprocess.run(argv, check=False, capture_output=True, text=True).stdout

    assert (status_as(0), status_as(65534)) == ("200", "403")


def test_a_weaker_run_is_refused(server: Studio) -> None:
    model = server.lab.script({"text": "A"})
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as client:
        for weaker in ({"approval_mode": "yolo"}, {"max_budget_usd": -1}, {"max_iterations": 51}):
            thread = client.post("/threads", json={}).json()["thread_id"]
            request = {
                "assistant_id": "agent",
                "input": {"messages": [{"role": "user", "content": "go"}]},
                "context": {"model": model, **weaker},
            }
            answer = client.post(f"/threads/{thread}/runs/wait", json=request).json()
            assert "is weaker than the server's" in answer["__error__"]["message"], answer
            made = client.post("/assistants", json={"graph_id": "agent", "context": {"model": model, **weaker}}).json()
            del request["context"]
            answer = client.post(
                f"/threads/{thread}/runs/wait", json={**request, "assistant_id": made["assistant_id"]}
            ).json()
            assert "is weaker than the server's" in answer["__error__"]["message"], answer


async def _show(request: Request) -> JSONResponse:
    return JSONResponse({"path": request.url.path, "headers": dict(request.headers)})


async def _socket(websocket: Any) -> None:
    await websocket.accept()
    await websocket.close()


def gated() -> TestClient:
    """A client of a small application behind the access control, on no real connection."""
    app = Starlette(routes=[Route("/a/b", _show), Route("/", _show), WebSocketRoute("/socket", _socket)])
    gate = AccessControl(app, token_digest(TOKEN))

    async def without_client(scope: Any, receive: Any, send: Any) -> None:
        await gate({**scope, "client": None, "server": ("127.0.0.1", PORT)}, receive, send)

    return TestClient(without_client, base_url=f"http://localhost:{PORT}")


def test_the_token_is_removed_before_the_request_is_passed_on() -> None:
    with gated() as client:
        for path, headers in ((f"/{TOKEN}/a/b", {}), ("/a/b", {"X-Api-Key": TOKEN}), (f"/{TOKEN}", {})):
            shown = client.get(path, headers=headers)
            assert shown.status_code == 200
            assert TOKEN not in shown.text


def test_websockets_need_the_token_too() -> None:
    with gated() as client:
        with client.websocket_connect(f"ws://localhost:{PORT}/{TOKEN}/socket"):
            pass
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"ws://localhost:{PORT}/socket"):
            pass


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:2024", None),
        ("localhost:2024", "http://127.0.0.1:2024"),
        ("localhost:2024", "https://smith.langchain.com"),
    ],
)
def test_programs_own_pages_and_studio_are_allowed(host: str, origin: str | None) -> None:
    origins = {} if origin is None else {b"origin": origin.encode()}
    assert is_allowed("/threads", {b"host": host.encode(), **origins}, PORT)


@pytest.mark.parametrize(
    ("path", "host", "origin"),
    [
        ("/threads", "localhost:2024", "https://smith.langchain.com.elsewhere.example"),
        ("/threads", "localhost:2024", "null"),
        ("/threads", "localhost:2024", ""),
        ("/threads", "localhost:2024", "http://localhost:3000"),
        ("/threads", "localhost:2024", "https://localhost:2024"),
        ("/threads", "localhost", "http://localhost:2024"),
        ("/threads", "elsewhere.example:2024", "http://localhost:2024"),
        ("/threads", "127.0.0.1.elsewhere.example:2024", "http://localhost:2024"),
        ("/threads", "[", "http://localhost:2024"),
        ("/threads", "", "http://localhost:2024"),
        ("/deploy/1/stream", "localhost:2024", "http://localhost:2024"),
        ("/internal/truncate", "localhost:2024", "http://localhost:2024"),
    ],
)
def test_nobody_else_is(path: str, host: str, origin: str) -> None:
    assert not is_allowed(path, {b"host": host.encode(), b"origin": origin.encode()}, PORT)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says to whom a connection belongs")
def test_a_connection_that_does_not_exist_is_nobodys() -> None:
    assert not is_own_peer(("127.0.0.1", 1), ("127.0.0.1", 2))
    assert not is_own_peer(("10.1.2.3", 0), ("127.0.0.1", 2))
    assert not is_own_peer(("not an address", 0), ("127.0.0.1", 2))
    assert is_own_peer(None, None)
