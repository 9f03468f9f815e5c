"""What the tools of a user's thread can reach on the workers' machine: nothing of other users and of the operator."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ml_intern.sandbox.basic.available import available_sandbox
from tests.server.team.conftest import TeamServer
from tests.server.team.people import Crowd, Person

PROBLEM = available_sandbox().problem
pytestmark = pytest.mark.skipif(PROBLEM is not None, reason=f"several users need a sandbox: {PROBLEM}")
SECRET = "the-result-of-ada"


@pytest.fixture
def crowd(team: TeamServer) -> Iterator[Crowd]:
    found = Crowd(team)
    settings = team.root / "settings.json"
    settings.write_text(json.dumps({"mcpServers": {"hf-mcp-server": {"enabled": False}}}))
    team.start_worker()
    try:
        yield found
    finally:
        team.end_workers()
        found.close()


def call(tool: str, **args: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": tool, "args": args}]}


def played(crowd: Crowd, person: Person, *steps: dict[str, Any]) -> tuple[str, list[str]]:
    """Play a thread of a user who approves everything. Return its id and the results of its calls."""
    thread = crowd.start(person, *steps, {"text": "done"})
    while True:
        row = crowd.team.wait(thread, lambda row: row["state"] in ("waiting", "idle") and row["turns"] > 0)
        if row["state"] == "idle":
            return thread, [one["text"] for one in crowd.team.history(thread) if one["role"] == "tool"]
        pending = person.client.get(f"/api/threads/{thread}/pending_approval").json()
        ids = [one["id"] for one in pending["requests"]]
        do = {"type": "exec_approval", "decisions": {id: {"type": "approve"} for id in ids}}
        body = {"id": f"{ids}", "do": do}
        assert person.client.post(f"/api/threads/{thread}/operations", json=body).is_success


def test_the_files_outputs_and_experiments_of_another_user_are_out_of_reach(team: TeamServer, crowd: Crowd) -> None:
    ada, bob = crowd.add("ada-files"), crowd.add("bob-files")
    script = f"python3 -c \"print('x' * 30000, '{SECRET}')\"; echo '{{\"f1\": 0.5}}' > f1.json"
    record = call("experiments", operation="record", name=SECRET, metrics=[{"name": "f1", "file": "f1.json"}])
    thread, results = played(crowd, ada, call("bash", command=script), record)
    home, work = team.root / "home", team.root / "home-workspaces" / thread
    (saved,) = [path for path in (home / "artifacts" / thread).glob("*.txt") if SECRET in path.read_text()]
    assert "recorded" in results[-1]
    asked = [
        *(call("read", path=str(path)) for path in (home / "artifacts", saved.parent, saved, work / "f1.json", work)),
        call("bash", command=f"cat {saved} {work}/f1.json; ls {home} {work.parent}"),
        call("experiments", operation="compare", ids=[SECRET, SECRET]),
        call("experiments", operation="best", metric="f1"),
        call("improve", task="x", metric="max f1", evaluator="true", budget_usd=1),
    ]
    _, refused = played(crowd, bob, *asked)
    assert len(refused) == len(asked)
    text = "\n".join(refused).replace(str(saved), "").replace(str(work), "").replace(f"'{SECRET}'", "")
    assert SECRET not in text
    assert '"f1": 0.5' not in text
    assert saved.name not in text
    assert "searches belong to the operator" in refused[-1]
    _, own = played(crowd, ada, call("experiments", operation="best", metric="f1"))
    assert SECRET not in own[0]  # experiments belong to the folder of their thread


def test_a_choice_of_the_mode_holds_for_the_next_process_of_the_thread(team: TeamServer, crowd: Crowd) -> None:
    person = crowd.add("night")
    thread = crowd.start(person, {"text": "one"}, call("bash", command="echo ran > ran"), {"text": "two"})
    team.done(thread)
    for do in ({"type": "set_mode", "mode": "auto"}, {"type": "set_effort", "level": "high"}):
        body = {"id": do["type"], "do": do}
        assert person.client.post(f"/api/threads/{thread}/operations", json=body).is_success
    team.end_workers()
    team.start_worker()
    do = {"type": "user_input", "text": "go on"}
    assert person.client.post(f"/api/threads/{thread}/operations", json={"id": "on", "do": do}).is_success
    team.done(thread, turns=2)
    assert (team.root / "home-workspaces" / thread / "ran").read_text() == "ran\n"
    events = person.client.get(f"/api/threads/{thread}/state").json()["events"]
    (state,) = [one["data"] for one in events if one["type"] == "ready"]
    assert state["approval_mode"] == "auto"
    ((options,),) = team.query("SELECT options FROM ml_intern.served_threads WHERE thread_id = %s", thread)
    assert json.loads(options)["effort"] == "high"


def test_a_repository_that_may_not_be_cloned_is_refused_at_once(crowd: Crowd) -> None:
    person = crowd.add("cloner")
    for place in ("file:///etc", "ssh://host/x", "http://example.org/x"):
        body = {"text": "go", "model": crowd.team.script({"text": "done"}), "repository": place}
        assert person.client.post("/api/threads", json=body).status_code == 400
    body["repository"] = "https://127.0.0.1:1/x.git"
    reply = person.client.post("/api/threads", json=body)
    assert "is not public" in reply.text
    assert "Repository to clone" in person.client.get("/").text
