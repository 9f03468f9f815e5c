"""`mcp`: servers in the user's settings, tried, used by a run; our own tools for others."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.conftest import Done, call
from tests.fakes import mcp_bad_server
from tests.fakes.hub.server import TOKEN, FakeHub
from tests.fakes.mcp_http_server import FakeMcp

Run = Callable[..., Done]
SERVER = (sys.executable, "-I", mcp_bad_server.__file__)


def settings(place: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((place.parent / "home" / "cli_agent_config.json").read_text())
    return found


def test_a_server_is_added_listed_tried_and_removed(run: Run, place: Path) -> None:
    assert run("mcp", "add", "bad", "--env", "A=${B:-c}", "--", *SERVER).code == 0
    entry = {"transport": "stdio", "command": SERVER[0], "args": [*SERVER[1:]], "env": {"A": "${B:-c}"}}
    assert settings(place)["mcpServers"] == {"bad": entry}
    listed = {row["name"]: row for row in run("mcp", "list", "--json").json}
    assert listed["bad"]["status"] == "on"
    assert listed["hf-mcp-server"]["status"].startswith("off: no Hugging Face token")
    tried = run("mcp", "test", "bad")
    assert tried.code == 0
    assert "bad: ready, 12 tools" in tried.out
    assert "  mcp__bad__echo  Say it again." in tried.out
    assert run("mcp", "remove", "bad").code == 0
    assert settings(place)["mcpServers"] == {}


def test_the_hubs_server_is_there_as_soon_as_there_is_a_token(
    run: Run, script: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeMcp() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url.removesuffix("/mcp"))
        (row,) = run("mcp", "list", "--json").json
        assert row["status"].startswith("off: no Hugging Face token")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert "hf-mcp-server: ready, 2 tools" in run("mcp", "test").out
        calls = [call("mcp__hf-mcp-server__add", a=20, b=22)]
        assert run("-m", script({"tool_calls": calls}, {"text": "done", "expect": "42"}), "go").code == 0
    assert {headers["authorization"] for headers in hub.seen} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("status", [404, 405])
def test_a_hub_without_an_mcp_server_is_no_problem_of_a_run(
    run: Run, script: Callable[..., str], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with FakeMcp() as hub:
        hub.status = status
        monkeypatch.setenv("HF_ENDPOINT", hub.url.removesuffix("/mcp"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        done = run("-m", script({"text": "done"}), "--output-format", "stream-json", "go")
        assert [line for one in done.events if one["type"] == "ready" for line in one["data"]["notes"]] == []
        assert done.err == ""
        assert "hf-mcp-server: off (this Hub has no MCP server)" in run("mcp", "test").out


def test_the_ready_entry_is_turned_off_by_removing_it(run: Run, place: Path) -> None:
    assert "turned off in" in run("mcp", "remove", "hf-mcp-server").out
    (row,) = run("mcp", "list", "--json").json
    assert row["status"] == "off: disabled"


def test_what_is_no_server_is_a_usage_error(run: Run, place: Path) -> None:
    for words in (
        ("add", "x"),
        ("add", "x", "--url", "ftp://a"),
        ("add", "a b", "--", "c"),
        ("add", "x", "--url", "https://me:pw@a"),
        ("add", "x", "--header", "none", "--url", "https://a"),
        ("remove", "nobody"),
        ("test", "nobody"),
    ):
        done = run("mcp", *words)
        assert done.code == 2, words
        assert len(done.err.splitlines()) == 1


def test_a_server_that_does_not_answer_is_a_line_and_exit_code_1(run: Run) -> None:
    run("mcp", "add", "gone", "--", "no-such-program-anywhere")
    done = run("mcp", "test", "gone")
    assert done.code == 1
    assert "gone: failed (program not found: no-such-program-anywhere)" in done.out


def test_a_run_calls_its_tools_and_names_servers_that_are_not_there(run: Run, script: Callable[..., str]) -> None:
    run("mcp", "add", "bad", "--", *SERVER)
    run("mcp", "add", "gone", "--", "no-such-program-anywhere")
    calls = [call("mcp__bad__echo", text="over there")]
    model = script({"tool_calls": calls}, {"text": "done", "expect": "over there"})
    done = run("--output-format", "stream-json", "-m", model, "go")
    ready = done.events[0]["data"]
    assert done.code == 0
    assert "mcp__bad__echo" in ready["tools"]
    assert "MCP server gone: program not found: no-such-program-anywhere" in ready["notes"]
    assert [event["type"] for event in done.events].count("ready") == 1


def test_a_project_brings_servers_only_where_it_is_trusted(run: Run, place: Path) -> None:
    from ml_intern.configs.trust import decide

    (place / ".ml-intern").mkdir()
    (place / ".ml-intern" / "cli_agent_config.json").write_text('{"mcpServers": {"theirs": {"command": "x"}}}')
    assert [row["name"] for row in run("mcp", "list", "--json").json] == ["hf-mcp-server"]
    decide(place, trusted=True)
    assert [row["name"] for row in run("mcp", "list", "--json").json] == ["hf-mcp-server", "theirs"]


def test_a_definition_replaces_a_weaker_one_with_its_headers(run: Run, place: Path) -> None:
    from ml_intern.configs.layers import load

    run("mcp", "add", "a", "--url", "https://mine.example/mcp", "--header", "Authorization: Bearer mine")
    given = place / "more.json"
    given.write_text('{"mcpServers": {"a": {"url": "https://theirs.example/mcp"}}}')
    merged = load(place, config_file=str(given)).settings.mcpServers["a"]
    assert (merged.url, merged.headers) == ("https://theirs.example/mcp", {})


def test_the_hubs_token_goes_to_the_hubs_own_address_and_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from ml_intern.configs.mcp_servers import McpServer
    from ml_intern.tools.mcp.http import request_headers

    with FakeHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_aTokenOfTheHub00000001")
        own = request_headers(McpServer(url=f"{hub.url}/mcp"))
        other = request_headers(McpServer(url=f"{hub.cdn_url}/mcp", headers={"X": "y"}))
        given = request_headers(McpServer(url=f"{hub.url}/mcp", headers={"authorization": "Bearer other"}))
    assert own["Authorization"] == "Bearer hf_aTokenOfTheHub00000001"
    assert set(other) == {"User-Agent", "X"}
    assert "Authorization" not in given
