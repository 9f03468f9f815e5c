"""Own keys, limits and the log of a team's server: as a user and as a command."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_intern.sandbox.basic.available import available_sandbox
from tests.server.team.conftest import POSTS, TeamServer
from tests.server.team.people import Crowd, Person
from tests.server.web.conftest import SECONDS

PROBLEM = available_sandbox().problem
KEY, OPERATORS = "hf_own_key_of_ada_0123456789", "ghp_of_the_operator_0123456789"
needs_sandbox = pytest.mark.skipif(PROBLEM is not None, reason=f"no sandbox here: {PROBLEM}")


@pytest.fixture(scope="module")
def crowd(team: TeamServer) -> Iterator[Crowd]:
    found = Crowd(team)
    yield found
    found.close()


def command(*words: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "ml_intern", *words]
    return subprocess.run(program, input=text, capture_output=True, text=True, check=False, timeout=SECONDS)


def stored(team: TeamServer) -> str:
    """Everything in the database and in the files of ml-intern, as text."""
    tables = team.query("SELECT table_schema || '.' || table_name FROM information_schema.tables "
                        "WHERE table_schema IN ('ml_intern', 'public')")  # fmt: skip
    rows = [str(team.query(f"SELECT * FROM {name}")) for (name,) in tables]
    home = [path for path in Path(team.root / "home").rglob("*") if path.is_file()]
    return "\n".join([*rows, *(path.read_bytes().decode("latin-1") for path in home)])


def approve(person: Person, thread: str) -> None:
    pending = person.client.get(f"/api/threads/{thread}/pending_approval").json()
    do = {"type": "exec_approval", "decisions": {one["id"]: {"type": "approve"} for one in pending["requests"]}}
    assert person.client.post(f"/api/threads/{thread}/operations", json={"id": thread, "do": do}).is_success


@needs_sandbox
def test_a_key_reaches_the_users_own_thread_and_nothing_else(
    team: TeamServer, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", OPERATORS)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_operator_0123456789")
    team.start_worker()
    ada, bob = crowd.add("ada"), crowd.add("bob")
    assert ada.client.post("/api/keys", json={"name": "HF_TOKEN", "value": KEY}).json() == ["HF_TOKEN"]
    assert (ada.client.get("/api/keys").json(), bob.client.get("/api/keys").json()) == (["HF_TOKEN"], [])
    assert ada.client.post("/api/keys", json={"name": "PATH", "value": "x"}).status_code == 400
    digest = 'printf %s "$HF_TOKEN" | sha256sum; env | grep -c TOKEN'
    results = []
    for person in (ada, bob):
        for name in ("HF_TOKEN", "GITHUB_TOKEN"):
            call = {"name": "bash", "args": {"command": digest, "secrets": [name]}}
            thread = crowd.start(person, {"tool_calls": [call]}, {"text": "done"})
            row = team.wait(thread, lambda row: row["state"] in ("waiting", "idle") and row["turns"] > 0)
            if row["state"] == "waiting":
                approve(person, thread)
            team.done(thread)
            results.append(str(crowd.team.history(thread)))
    team.end_workers()
    assert hashlib.sha256(KEY.encode()).hexdigest() in results[0]
    assert all("there is no secret named" in one for one in results[1:]), results
    everything = stored(team)
    assert not [key for key in (KEY, OPERATORS, ada.token, bob.token) if key in everything]
    assert ada.client.post("/api/keys", json={"name": "HF_TOKEN", "value": ""}).json() == []


def test_a_user_who_sends_too_much_waits_and_others_do_not(crowd: Crowd) -> None:
    busy, calm = crowd.add("busy"), crowd.add("calm")
    statuses = [busy.client.post("/api/threads", json={"text": 1}).status_code for _ in range(POSTS)]
    assert set(statuses) == {400}
    refused = busy.client.post("/api/threads", json={"text": 1})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 61
    assert busy.client.get("/api/me").status_code == 200
    assert calm.client.post("/api/threads", json={"text": 1}).status_code == 400


def test_the_commands_add_and_remove_users_and_say_what_was_done(team: TeamServer, crowd: Crowd) -> None:
    added = command("server", "users", "add", "eve", "--json")
    token = json.loads(added.stdout)["token"]
    eve = crowd.client(token)
    assert eve.get("/api/me").json()["name"] == "eve"
    assert command("server", "users", "add", "eve").returncode == 2
    assert command("server", "keys", "set", "OPENAI_API_KEY", "--user", "eve", text="sk-of-eve\n").returncode == 0
    assert eve.get("/api/keys").json() == ["OPENAI_API_KEY"]
    limits = json.loads(command("server", "budgets", "eve", "--month", "5", "--json").stdout)
    assert (limits[0]["name"], limits[0]["daily_usd"], limits[0]["monthly_usd"]) == ("eve", None, 5.0)
    assert command("server", "users", "remove", "eve").returncode == 0
    assert eve.get("/api/me").status_code == 401
    log = json.loads(command("server", "audit", "--json", "--user", "command line").stdout)
    actions = [(one["action"], one["detail"]) for one in reversed(log)]
    assert actions[0] == ("add user", "eve")
    assert actions[-1] == ("remove user", "eve")
    assert "sk-of-eve" not in stored(team)


def test_several_users_without_a_sandbox_are_refused_in_one_line(crowd: Crowd) -> None:
    for name in ("first", "second"):
        crowd.add(name)
    for word in ("worker", "serve"):
        done = command(word)
        assert (done.returncode, done.stderr.count("\n")) == (78, 1)
        assert "more than one user needs a sandbox, and sandbox.enabled is false" in done.stderr
