"""The gate before every route: requests that would change something, but are not from the page or with the token."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from tests.server.web.conftest import SECONDS, TOKEN, Web
from tests.server.web.test_access import CSRF, as_page, routes
from tests.server.web.test_pages import WRITE, ids_of

EVIL = "http://evil.example"
STREAMS = ("/t/{id}/stream", "/api/threads/{id}/events")
"""Routes whose replies do not end."""
Headers = Mapping[str, str]


class Target:
    """A thread that waits for an approval, and for every route the request that would have its effect."""

    def __init__(self, web: Web) -> None:
        self.web = web
        steps = ({"text": "ready"}, {"tool_calls": [WRITE]}, *({"text": "done"},) * 9)
        self.thread = web.start(*steps, text="first", folder="gate")
        web.until(self.thread, "<p>ready</p>")
        web.do(self.thread, do="say", text="second")
        self.ids = ids_of(web.until(self.thread, "May I do this?"))
        self.folder = web.root / "gate"

    def body(self, path: str) -> dict[str, Any]:
        """What a client sends to change something by a route."""
        new = {"text": "hello", "folder": str(self.folder), "model": self.web.script({"text": "x"})}
        approve = {"decisions": {id: {"type": "approve"} for id in self.ids.values()}}
        bodies: dict[str, dict[str, Any]] = {
            "/new": {"data": new},
            "/t/{id}/do": {"data": {"do": "answer", "all": "approve", **self.ids}},
            "/t/{id}/fork": {"data": {"turn": "1"}},
            "/api/threads": {"json": new},
            "/api/threads/{id}/operations": {"json": {"id": "1", "do": {"type": "exec_approval", **approve}}},
            "/api/threads/{id}/fork": {"json": {"turn": 1}},
        }
        return bodies[path]

    def send(self, client: httpx.Client, method: str, path: str, headers: Headers) -> int:
        values = {"id": self.thread, "name": "runs", "format": "html", "number": "0"}
        address = re.sub(r"{(\w+)}", lambda match: values[match[1]], path)
        body = self.body(path) if method == "POST" else {}
        return client.request(method, address, headers=headers, **body).status_code

    def state(self) -> Any:
        """All threads with what they ask, and the files of the folder."""
        return self.web.client.get("/api/threads").json(), sorted(path.name for path in self.folder.iterdir())


def attacks(web: Web) -> Iterator[tuple[Headers, bool]]:
    """The headers of requests that are refused, and whether that holds for requests that read, too."""
    page, token = as_page(web), {"x-api-key": TOKEN}
    cookie = web.policy.cookie_name
    yield from ((headers, True) for headers in ({}, {"Origin": web.url, CSRF: web.policy.csrf}))
    yield {**page, "Cookie": f"{cookie}={TOKEN}"}, True
    yield {**page, "Cookie": f"{cookie}={web.policy.csrf}"}, True
    yield {**page, "Cookie": f"{cookie}x={web.policy.cookie}"}, True
    yield from (({name: web.policy.cookie}, True) for name in ("x-api-key", "authorization"))
    for allowed in (page, token):
        yield from (({**allowed, "Origin": origin}, True) for origin in (EVIL, "null", "", f"{web.url}.evil.example"))
        yield from (({**allowed, "Host": host}, True) for host in ("evil.example", "localhost", "127.0.0.1:1", ""))
        yield {**allowed, "X-Forwarded-For": "127.0.0.1"}, True
        yield {**allowed, "Sec-Fetch-Site": "cross-site"}, False
    for missing in ("Origin", CSRF):
        yield {name: value for name, value in page.items() if name != missing}, False
    yield {**page, CSRF: web.policy.cookie}, False


def test_no_route_does_anything_for_a_request_that_is_not_allowed(web: Web) -> None:
    target, found = Target(web), routes(named=True)
    before = target.state()
    with httpx.Client(base_url=web.url, trust_env=False, timeout=SECONDS) as client:
        done = {
            (method, path, number): target.send(client, method, path, headers)
            for method, path in found
            for number, (headers, also_reads) in enumerate(attacks(web))
            if also_reads or method == "POST"
        }
        assert {key: status for key, status in done.items() if status not in (401, 403)} == {}
        assert target.state() == before
        for method, path in found:  # the same requests from the page are performed: only the gate refused them
            if path not in STREAMS and method != "HEAD":
                assert target.send(client, method, path, as_page(web)) in (200, 201, 204, 303, 404, 409, 400), path
    web.until(target.thread, "<p>done</p>")
    assert (target.folder / "made.txt").exists()
    assert len(target.state()[0]) == len(before[0]) + 4
