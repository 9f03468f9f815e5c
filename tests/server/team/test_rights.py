"""Every route for every kind of user: only what is theirs or shared with them answers; the rest does not exist."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from ml_intern.sandbox.basic.available import available_sandbox
from ml_intern.server.team.people.rights import ENDLESS, RIGHTS, covers
from ml_intern.server.team.people.routes import ACCESS, KEYS, LOGOUT
from ml_intern.store.team.people.sharing import LEVELS, Level
from tests.server.team.conftest import TeamServer
from tests.server.team.people import Crowd, Person

PROBLEM = available_sandbox().problem
pytestmark = pytest.mark.skipif(PROBLEM is not None, reason=f"several users need a sandbox: {PROBLEM}")
WRITE = {"name": "write", "args": {"path": "made.txt", "content": "x"}}


class Shared:
    """A thread that waits for an approval, and users with every right to it."""

    def __init__(self, team: TeamServer) -> None:
        self.team, self.crowd = team, Crowd(team)
        self.owner, self.admin = self.crowd.add("owner"), self.crowd.add("root", admin=True)
        self.stranger = self.crowd.add("stranger")
        steps: tuple[dict[str, Any], ...] = ({"tool_calls": [WRITE]}, {"text": "done"}, {"text": "more"})
        self.thread = self.crowd.start(self.owner, *steps, text="secret plan")
        team.wait(self.thread, lambda row: row["state"] == "waiting")
        self.sharers = {level: self.crowd.add(f"can-{level}") for level in LEVELS[:3]}
        for level, person in self.sharers.items():
            self.crowd.share(self.thread, person, level)

    def people(self) -> Iterator[tuple[Person, Level | None]]:
        """Everybody, with the level that they have."""
        yield self.owner, "own"
        yield self.admin, "own"
        yield self.stranger, None
        for level, person in self.sharers.items():
            yield person, level

    def send(self, client: httpx.Client, method: str, path: str, thread: str = "") -> httpx.Response:
        """Send what a client would send to use a route."""
        values = {"id": thread or self.thread, "name": "runs", "format": "html", "number": "0"}
        address = re.sub(r"{(\w+)}", lambda match: values[match[1]], path)
        do = {"type": "rename", "title": "taken"}
        bodies: dict[str, dict[str, Any]] = {
            "/t/{id}/do": {"data": {"do": "rename", "text": "taken"}},
            "/t/{id}/fork": {"data": {"turn": "1"}},
            "/api/threads/{id}/operations": {"json": {"id": f"{path}", "do": do}},
            "/api/threads/{id}/fork": {"json": {"turn": None}},
            ACCESS: {"json": {"user": "stranger", "can": "own"}},
            KEYS: {"json": {"name": "X", "value": "x"}},
            LOGOUT: {},
            "/new": {"data": {"text": ""}},
            "/api/threads": {"json": {"text": 1}},
        }
        request = client.build_request(method, address, **(bodies[path] if method == "POST" else {}))
        reply = client.send(request, stream=True)
        if path not in ENDLESS:
            reply.read()
        reply.close()
        return reply

    def title(self) -> str:
        return str(self.team.client.get(f"/api/threads/{self.thread}/row").json()["title"])


@pytest.fixture(scope="module")
def shared(team: TeamServer) -> Iterator[Shared]:
    team.start_worker()
    try:
        found = Shared(team)
        yield found
        found.crowd.close()
    finally:
        team.end_workers()


def walked(shared: Shared) -> list[tuple[str, str]]:
    """Every method and path of the application itself, with braces around the names of its parts."""
    assert shared.team.app is not None
    found = [route for route in shared.team.app.routes if isinstance(route, Route)]
    assert len(found) == len(shared.team.app.routes)  # no other kind of route, which nobody would walk
    paths = [(method, route.path) for route in found for method in sorted(route.methods or ())]
    return [(method, path) for method, path in paths if method != "HEAD"]


def test_every_route_has_a_right(shared: Shared) -> None:
    assert set(walked(shared)) == set(RIGHTS)


def test_each_route_answers_those_who_have_the_right(shared: Shared) -> None:
    expected, found = dict[tuple[str, str, str], int](), dict[tuple[str, str, str], int]()
    for person, level in shared.people():
        for method, path in walked(shared):
            right, key = RIGHTS[method, path], (person.user.name, method, path)
            if method == "POST" and right != "user" and level in ("write", "own"):
                continue  # it would change something, and is tried below
            if right == "user":
                expected[key] = 200
            elif right == "admin":
                expected[key] = 200 if person.user.admin else 404
            elif level is None:
                expected[key] = 404
            else:
                expected[key] = 200 if covers(level, right) and method == "GET" else 403
            status = shared.send(person.client, method, path).status_code
            is_missing = path == "/static/{name}" or (right == "admin" and person.user.admin)  # no such file or search
            found[key] = 200 if is_missing or status in (200, 204, 400, 409) else status
    assert found == expected
    assert shared.title() == "secret plan"


def test_what_is_forbidden_answers_like_what_does_not_exist(shared: Shared) -> None:
    for method, path in walked(shared):
        if "{id}" in path:
            replies = [shared.send(shared.stranger.client, method, path, id) for id in (shared.thread, "0" * 36)]
            texts = [reply.text.replace(shared.thread, "0" * 36) for reply in replies if path not in ENDLESS]
            assert [reply.status_code for reply in replies] == [404, 404], path
            assert len(set(texts)) <= 1, path


def test_nobody_gets_in_without_a_token_that_holds(shared: Shared) -> None:
    revoked, removed = shared.crowd.add("revoked", admin=True), shared.crowd.add("removed", admin=True)
    assert {one.client.get("/api/me").status_code for one in (revoked, removed)} == {200}
    shared.crowd.revoke(revoked)
    shared.crowd.remove(removed)
    guesses = ("", "mli_", shared.owner.user.id, "x", f"{shared.owner.token}x", shared.owner.token[:-1])
    clients = [revoked.client, removed.client, *map(shared.crowd.client, guesses)]
    done = {
        (n, path): shared.send(one, method, path) for n, one in enumerate(clients) for method, path in walked(shared)
    }
    assert {key: reply.status_code for key, reply in done.items() if reply.status_code != 401} == {}


def test_lists_show_nothing_of_others(shared: Shared) -> None:
    for person, level in shared.people():
        for path in ("/", "/rows", "/api/threads"):
            assert ("secret plan" in person.client.get(path).text) == (level is not None), (person.user.name, path)
        page = person.client.get("/").text
        assert str(shared.team.root / "work") not in page
        assert ("/settings" in page) == person.user.admin


def test_everybody_learns_who_they_are(shared: Shared) -> None:
    assert shared.owner.client.get("/api/me").json() == {"name": "owner", "admin": False}
    assert shared.admin.client.get("/api/me").json() == {"name": "root", "admin": True}
    assert shared.team.client.get("/api/me").json() == {"name": "operator", "admin": True}


def test_a_browser_signs_in_and_is_signed_out_with_its_token(shared: Shared) -> None:
    person, url = shared.crowd.add("browser"), shared.team.url
    with httpx.Client(base_url=url, trust_env=False) as browser:
        assert browser.get(f"/?token={person.token}").status_code == 303
        assert browser.get("/api/me").json()["name"] == "browser"
        page = browser.get("/").text
        csrf = re.search(r'"x-csrf": "(\w+)"', page)
        assert csrf
        assert person.token not in page
        form, own = {"text": ""}, {"Origin": url, "x-csrf": csrf[1]}
        assert browser.post("/new", data=form, headers=own).status_code == 409
        for wrong in ({"Origin": url}, {**own, "x-csrf": shared.team.policy.csrf}, {**own, "Origin": "http://evil"}):
            assert browser.post("/new", data=form, headers=wrong).status_code == 403
        shared.crowd.revoke(person)
        assert browser.get("/api/me").status_code == 401


def test_a_browser_signs_out_and_the_others_of_the_user_stay(shared: Shared) -> None:
    person, url = shared.crowd.add("leaver"), shared.team.url
    with httpx.Client(base_url=url, trust_env=False) as browser, httpx.Client(base_url=url, trust_env=False) as other:
        for one in (browser, other):
            assert one.get(f"/?token={person.token}").status_code == 303
        page, session = browser.get("/").text, dict(browser.cookies)
        assert "Sign out leaver" in page
        csrf = re.search(r'"x-csrf": "(\w+)"', page)
        assert csrf
        assert browser.post(LOGOUT, headers={"Origin": url}).status_code == 403
        reply = browser.post(LOGOUT, headers={"Origin": url, "x-csrf": csrf[1]})
        assert (reply.status_code, "Signed out" in reply.text, dict(browser.cookies)) == (200, True, {})
        assert httpx.get(f"{url}/api/me", cookies=session, trust_env=False).status_code == 401
        assert other.get("/api/me").json()["name"] == "leaver"
    assert person.client.get("/api/me").status_code == 200


def test_a_user_names_only_models_that_the_operator_allows(shared: Shared) -> None:
    """A script is a file on the worker, so the answer would say whether it is there."""
    do, operate = f"/t/{shared.thread}/do", f"/api/threads/{shared.thread}/operations"
    for model in ("scripted:/etc/hostname", " scripted:/etc/passwd", "scripted:relative.yaml"):
        operation = {"id": model, "do": {"type": "set_model", "model": model}}
        for person in (shared.owner, shared.sharers["write"]):
            replies = (
                person.client.post("/new", data={"text": "x", "model": model}),
                person.client.post("/api/threads", json={"text": "x", "model": model}),
                person.client.post(do, data={"do": "model", "text": model}),
                person.client.post(operate, json=operation),
            )
            assert [reply.status_code for reply in replies] == [403] * 4, model
            assert all("may not use the model" in reply.text for reply in replies)


def test_an_image_is_content_and_not_an_address(shared: Shared) -> None:
    for url in ("http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "data:text/html;base64,AAAA"):
        body = {"id": url, "do": {"type": "user_input", "text": "look", "images": [url]}}
        reply = shared.owner.client.post(f"/api/threads/{shared.thread}/operations", json=body)
        assert (reply.status_code, "not a data URL" in reply.text) == (400, True), url


@pytest.mark.parametrize(
    ("how", "path"),
    [("revoke", "/t/{id}/stream"), ("remove", "/api/threads/{id}/events"), ("share", "/t/{id}/stream")],
)
def test_streams_end_when_the_right_to_them_does(shared: Shared, how: str, path: str) -> None:
    person, other = shared.crowd.add(how), shared.crowd.add(f"{how}-stays")
    for one in (person, other):
        shared.crowd.share(shared.thread, one, "read")
    address = path.replace("{id}", shared.thread)
    with person.client.stream("GET", address) as reply, other.client.stream("GET", address) as stays:
        lines = reply.iter_lines()
        assert next(lines) == "retry: 1000"
        if how == "share":
            shared.crowd.share(shared.thread, person, None)
        else:
            getattr(shared.crowd, how)(person)
        rest = threading.Thread(target=lambda: list(lines), daemon=True)
        rest.start()
        rest.join(20)
        assert not rest.is_alive()
        assert next(stays.iter_lines()) == "retry: 1000"
    assert person.client.get(f"/t/{shared.thread}").status_code in (401, 404)
    assert other.client.get(f"/t/{shared.thread}").status_code == 200


def test_an_answer_is_all_that_answer_allows(shared: Shared) -> None:
    client = shared.sharers["answer"].client
    pending = client.get(f"/api/threads/{shared.thread}/pending_approval").json()
    (id,) = (request["id"] for request in pending["requests"])

    def send(client: httpx.Client, do: Any) -> int:
        return client.post(f"/api/threads/{shared.thread}/operations", json={"id": str(do), "do": do}).status_code

    approve = {"type": "exec_approval", "decisions": {id: {"type": "approve"}}}
    for more in ({"always": "thread"}, {"type": "edit", "args": {"path": "x", "content": ""}}):
        assert send(client, {**approve, "decisions": {id: {"type": "approve", **more}}}) == 403
    others = ("interrupt", "redo", "compact")
    assert {send(client, {"type": type}) for type in others} == {403}
    assert send(client, {"type": "set_mode", "mode": "yolo"}) == 403
    assert client.post(f"/t/{shared.thread}/do", data={"do": "continue"}).status_code == 403
    assert send(shared.sharers["read"].client, approve) == 403
    assert send(shared.stranger.client, approve) == 404
    assert send(client, approve) == 200
    shared.team.done(shared.thread)
    assert send(shared.sharers["write"].client, {"type": "user_input", "text": "more"}) == 200
    row = shared.team.done(shared.thread, turns=2)
    assert row["folder"].endswith(shared.thread)
    assert (shared.team.root / "home-workspaces" / shared.thread / "made.txt").read_text() == "x"


def test_an_owner_shares_a_thread_and_takes_it_back(shared: Shared) -> None:
    friend, address = shared.crowd.add("friend"), f"/api/threads/{shared.thread}/access"
    assert friend.client.get(f"/t/{shared.thread}").status_code == 404
    shown = shared.owner.client.post(address, json={"user": "friend", "can": "read"}).json()
    assert (shown["friend"], shown["owner"]) == ("read", "own")
    assert friend.client.get(address).json() == shown
    for wrong in (
        {"user": "nobody", "can": "read"},
        {"user": "friend", "can": "rule"},
        {"user": "owner", "can": "read"},
    ):
        assert shared.owner.client.post(address, json=wrong).status_code == 400
    assert shared.owner.client.post(address, json={"user": "friend", "can": "nothing"}).status_code == 200
    assert friend.client.get(f"/t/{shared.thread}").status_code == 404


def test_the_log_says_who_did_what(shared: Shared) -> None:
    shared.send(shared.stranger.client, "POST", "/api/threads")
    answerer = shared.sharers["answer"]
    assert answerer.client.post(f"/t/{shared.thread}/do", data={"do": "rename", "text": "x"}).status_code == 403
    entries = shared.crowd.do(lambda store: store.audit.list(1_000))
    found = {(one.who, one.action, one.thread_id, one.detail) for one in entries}
    assert ("can-answer", "refused", shared.thread, "rename") in found
    assert ("stranger", "start thread", "", "") in found


def test_a_copy_belongs_to_the_owner(shared: Shared) -> None:
    for person, status in ((shared.sharers["write"], 403), (shared.stranger, 404), (shared.admin, 201)):
        reply = person.client.post(f"/api/threads/{shared.thread}/fork", json={"turn": None})
        assert reply.status_code == status
    copy = reply.json()["id"]
    assert shared.owner.client.get(f"/t/{copy}").status_code == 200
    assert shared.sharers["write"].client.get(f"/t/{copy}").status_code == 404
