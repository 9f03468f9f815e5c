"""The wire over HTTP: operations once, events by number without gaps, reads, and its description."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.server.web.conftest import Web
from tests.server.web.test_access import routes

WRITE: dict[str, Any] = {"name": "write", "args": {"path": "made.txt", "content": "made\n"}}


@contextmanager
def events(web: Web, thread: str, after: int | None = None) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a thread as they come, each with its number and, for a reset, nothing more."""
    query = {} if after is None else {"after": str(after)}
    with web.client.stream("GET", f"/api/threads/{thread}/events", params=query) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        yield (json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: {"))


def submit(web: Web, thread: str, id: str, **operation: Any) -> httpx.Response:
    return web.client.post(f"/api/threads/{thread}/operations", json={"id": id, "do": operation})


def created(web: Web, *steps: dict[str, Any], folder: str = "api") -> str:
    (web.root / folder).mkdir(exist_ok=True)
    body = {"folder": str(web.root / folder), "text": "go", "model": web.script(*steps)}
    reply = web.client.post("/api/threads", json=body)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


def test_a_program_starts_a_thread_answers_once_and_reads_it(web: Web) -> None:
    thread = created(web, {"tool_calls": [WRITE]}, {"text": "done"}, {"text": "again"})
    web.until(thread, "May I do this?")
    pending = web.client.get(f"/api/threads/{thread}/pending_approval").json()
    answer = {"type": "exec_approval", "decisions": {pending["requests"][0]["id"]: {"type": "approve"}}}
    assert [submit(web, thread, "a", **answer).json() for _ in range(2)] == [{"id": "a", "ok": True}] * 2
    late = submit(web, thread, "b", **answer)
    assert (late.status_code, late.json()["error"]["code"]) == (400, "usage_error")
    assert "web" in late.json()["error"]["message"] + late.json()["error"]["remedy"]
    web.until(thread, "<p>done</p>")
    history = web.client.get(f"/api/threads/{thread}/history").json()
    assert [one["role"] for one in history] == ["user", "assistant", "tool", "assistant"]
    for name in ("row", "plan", "turns", "queue", "totals", "spending", "conversation", "evidence", "runs"):
        assert web.client.get(f"/api/threads/{thread}/{name}").status_code == 200, name
    assert web.client.get(f"/api/threads/{thread}/preview_undo?turns=1").json()["turns"] == 1
    copy = web.client.post(f"/api/threads/{thread}/fork", json={"turn": None}).json()["id"]
    assert copy in {one["row"]["id"] for one in web.client.get("/api/threads").json()}


def test_events_after_a_number_have_no_gaps_and_come_once(web: Web) -> None:
    thread = created(web, {"text": "first"}, {"text": "second"}, folder="events")
    web.until(thread, lambda page: "<p>first</p>" in page and 'data-state="idle"' in page)
    seen: list[dict[str, Any]] = []
    with events(web, thread) as coming:
        submit(web, thread, "1", type="user_input", text="again")
        for event in coming:
            seen.append(event)
            if event["type"] == "turn_complete":
                break
    numbers = [event["seq"] for event in seen]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    with events(web, thread, numbers[2]) as coming:
        assert [next(coming)["seq"] for _ in numbers[3:]] == numbers[3:]


def test_what_does_not_belong_to_a_thread_is_refused(web: Web) -> None:
    thread = created(web, {"text": "hello"}, folder="refused")
    wrong: list[Any] = [{}, {"id": 1, "do": {}}, {"id": "x"}, {"id": "x", "do": {"type": "settle"}}, [], "x"]
    wrong += [{"id": "x", "do": {"type": "shutdown"}}, {"id": "x", "do": {"type": "resume", "thread": "other"}}]
    wrong += [{"id": "x" * 300, "do": {"type": "interrupt"}}, {"id": "x", "do": {"type": "rename", "name": "x"}}]
    replies = [web.client.post(f"/api/threads/{thread}/operations", json=body) for body in wrong]
    assert [reply.status_code for reply in replies] == [400] * len(wrong)
    older = web.client.get("/api/threads", headers={"x-wire": "0"})
    assert (older.status_code, older.json()["error"]["code"]) == (400, "wire_version")
    assert "version 1" in older.json()["error"]["message"]
    assert web.client.get("/api/threads/none/history").status_code == 400
    assert web.client.get(f"/api/threads/{thread}/events?after=x").status_code == 400


def test_the_description_names_every_route_and_every_operation(web: Web) -> None:
    described = web.client.get("/api/openapi.json").json()
    paths = {
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in described["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert paths == {(method, path) for method, path in routes() if path.startswith("/api/") and method != "HEAD"}
    schemas = described["components"]["schemas"]
    named = {one["properties"]["type"]["const"] for one in schemas["Operation"]["oneOf"]}
    assert {"user_input", "exec_approval", "undo", "interrupt"} <= named
    text = json.dumps(described)
    assert "$defs" not in text
    assert {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]} <= set(schemas)
