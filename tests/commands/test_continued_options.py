"""What a run was started with belongs to its thread: `approve` and `-r` in another process continue with it."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.program import Program
from tests.fakes.model_server import Call, FakeModelServer, Reply

WRITE = Reply(calls=(Call("write", '{"path": "made.txt", "content": "x"}'),))
SECRET = "sk-ant-" + "a1B2" * 12


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        yield running


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "more").mkdir()
    return Program(tmp_path)


def started(program: Program, server: FakeModelServer, *options: str) -> str:
    """Start a thread that waits for an approval; its id."""
    server.say(WRITE)
    own = ("-m", "fake", "--base-url", server.url, "--api-key-env", "OTHER_KEY", "--approval-mode", "ask", *options)
    done = program.run(*own, "--output-format", "json", "-p", "go")
    assert done.returncode == 3, done.stderr
    return str(json.loads(done.stdout)["thread_id"])


def ready(program: Program, *argv: str) -> dict[str, Any]:
    """The first event of a run."""
    done = program.run(*argv, "--output-format", "stream-json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[0])["data"])


def test_an_approval_continues_with_the_base_url_and_settings_of_the_run_that_asked(
    program: Program, server: FakeModelServer
) -> None:
    program.environment["OTHER_KEY"] = "one"
    options = ("--set", "model_params.temperature=0.25", "--no-sandbox", "--add-dir", str(program.root / "more"))
    thread = started(program, server, *options)
    notes = ready(program, "approve", thread, "--all")["notes"]
    assert (program.folder / "made.txt").read_text() == "x"
    first, second = server.asked
    assert (first.json["temperature"], second.json["temperature"]) == (0.25, 0.25)
    assert second.headers["authorization"] == "Bearer one"
    [note] = [one for one in notes if one.startswith("continuing with this thread's options: ")]
    assert f"--base-url {server.url}" in note
    assert "--no-sandbox" in note
    assert "--set model_params.temperature=0.25" in note
    assert f"--add-dir {program.root / 'more'}" in note


def test_a_resumed_thread_continues_likewise_and_a_given_flag_wins(program: Program, server: FakeModelServer) -> None:
    thread = started(program, server, "--set", "model_params.temperature=0.25", "--max-budget-usd", "7", "--no-sandbox")
    assert program.run("approve", thread, "--all").returncode == 0
    given = ready(program, "-r", thread, "--set", "model_params.temperature=0.75", "-p", "more")
    assert given["max_budget_usd"] == 7
    assert server.asked[-1].json["temperature"] == 0.75
    assert ready(program, "-r", thread, "-p", "again")["max_budget_usd"] == 7
    assert server.asked[-1].json["temperature"] == 0.75
    assert ready(program, "-r", thread, "--max-budget-usd", "9", "-p", "again")["max_budget_usd"] == 9


def test_a_fork_continues_likewise_and_leaves_the_options_of_its_thread(
    program: Program, server: FakeModelServer
) -> None:
    thread = started(program, server, "--set", "model_params.temperature=0.25", "--no-sandbox")
    assert program.run("approve", thread, "--all").returncode == 0
    forked = ready(program, "-r", thread, "--fork", "--set", "model_params.temperature=0.5", "-p", "more")
    assert server.asked[-1].json["temperature"] == 0.5
    assert forked["model"] == "fake"
    ready(program, "-r", thread, "-p", "more")
    assert server.asked[-1].json["temperature"] == 0.25


def test_another_model_is_not_sent_to_the_saved_base_url(program: Program, server: FakeModelServer) -> None:
    thread = started(program, server, "--no-sandbox")
    assert program.run("approve", thread, "--all").returncode == 0
    other = program.script(*[{"text": "hello"}] * 5)
    asked = len(server.asked)
    assert ready(program, "-r", thread, "-m", other, "-p", "more")["model"] == other
    assert len(server.asked) == asked
    assert ready(program, "-r", thread, "-p", "more")["model"] == other


def test_keys_are_never_saved_and_what_is_missing_is_named(program: Program, server: FakeModelServer) -> None:
    header = f'mcpServers.a={{"url": "https://example.org", "enabled": false, "headers": {{"x": "{SECRET}"}}}}'
    thread = started(program, server, "--set", header, "--set", f"model_params.user={SECRET}", "--no-sandbox")
    with sqlite3.connect(program.root / "home" / "threads.db") as database:
        [(saved,)] = database.execute("SELECT options FROM threads WHERE id = ?", (thread,))
    assert SECRET not in saved
    missing = (
        "not saved with this thread, since they may contain keys: --set mcpServers.a, --set model_params.user; "
        "give them again"
    )
    assert missing in ready(program, "approve", thread, "--all")["notes"]
    assert missing in ready(program, "-r", thread, "-p", "more")["notes"]
