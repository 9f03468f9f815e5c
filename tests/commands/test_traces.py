"""Traces: written in two formats others read, uploaded to a private dataset when the user said so, never otherwise."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call
from tests.fakes.hub.server import OWNER, TOKEN, FakeHub

Run = Callable[..., Done]
REPO = f"{OWNER}/ml-intern-sessions"
SHARED = ("--set", "share_traces=true")


@pytest.fixture
def hub(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        (place.parent / "home").mkdir(exist_ok=True)
        off = {"mcpServers": {"hf-mcp-server": {"enabled": False}}}
        (place.parent / "home" / "cli_agent_config.json").write_text(json.dumps(off))
        yield fake


@pytest.fixture
def model(script: Callable[..., str]) -> str:
    return script({"text": "I look.", "tool_calls": [call("bash", command="echo hi")]}, {"text": "ünï \u202e done"})


def traces(hub: FakeHub) -> dict[str, str]:
    repository = hub.repository("datasets", REPO)
    files = repository.files
    return {path: repository.text(path) for path in files if path.startswith("sessions/")}


def thread(run: Run) -> str:
    id: str = run("threads", "list", "--json").json[0]["id"]
    return id


def test_nothing_is_uploaded_until_the_user_says_so(hub: FakeHub, run: Run, model: str) -> None:
    assert run("-m", model, "go").code == 0
    assert [asked.path for asked in hub.asked if "create" in asked.path or "commit" in asked.path] == []


def test_a_thread_is_uploaded_privately_and_replaces_itself(hub: FakeHub, run: Run, model: str) -> None:
    assert run("-m", model, *SHARED, "go").code == 0
    first = traces(hub)
    run("threads", "export", thread(run), "--upload")
    (path,) = traces(hub)
    assert list(first) == [path]
    assert path.endswith(f"/{thread(run)}.jsonl")
    assert hub.repository("datasets", REPO).private
    lines = [json.loads(line) for line in first[path].splitlines()]
    assert (lines[0]["type"], lines[0]["harness"]) == ("session", "ml-intern")
    assert [line["message"]["role"] for line in lines[1:]] == ["user", "assistant", "tool", "assistant"]
    assert lines[2]["message"]["toolCalls"][0]["function"]["arguments"] == '{"command": "echo hi"}'


def test_a_dataset_that_is_public_gets_nothing_that_is_private(hub: FakeHub, run: Run, model: str) -> None:
    hub.add("datasets", REPO, {"README.md": "x"}, private=False)
    done = run("-m", model, *SHARED, "go")
    assert (done.code, traces(hub)) == (0, {})
    assert "is public but sharing is private" in done.err


def test_a_failure_is_a_line_and_the_next_session_makes_up_for_it(hub: FakeHub, run: Run, model: str) -> None:
    hub.fail("/commit/", 403)
    done = run("-m", model, *SHARED, "go")
    assert done.code == 0
    assert "The next session retries it" in done.err.splitlines()[-1]
    hub.clear_failures()
    first = thread(run)
    run("-m", model, *SHARED, "again")
    assert len(traces(hub)) == 2
    assert any(first in path for path in traces(hub))


def test_secrets_do_not_leave(hub: FakeHub, run: Run, script: Callable[..., str]) -> None:
    run("-m", script({"text": f"your token is {TOKEN}"}), *SHARED, "go with hf_abcdefghijklmnopqrstuvwxyzABCDEF12")
    (text,) = traces(hub).values()
    assert TOKEN not in text
    assert "hf_abcdefghij" not in text


def test_a_claude_code_export_is_a_chain_with_stable_ids(run: Run, model: str) -> None:
    run("-m", model, "go")
    first = run("threads", "export", thread(run), "--format", "claude-code").out
    assert first == run("threads", "export", thread(run), "--format", "claude-code").out
    lines = [json.loads(line) for line in first.splitlines()]
    assert [line["type"] for line in lines] == ["user", "assistant", "user", "assistant", "summary"]
    assert [line["parentUuid"] for line in lines[1:4]] == [line["uuid"] for line in lines[:3]]
    (use,) = [block for block in lines[1]["message"]["content"] if block["type"] == "tool_use"]
    (result,) = lines[2]["message"]["content"]
    assert (use["name"], use["input"]) == ("bash", {"command": "echo hi"})
    assert result["tool_use_id"] == use["id"]
