"""`ml-intern session --json`, started as other programs start it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_intern.cli import main
from ml_intern.configs.errors import TemporaryError, UsageError
from ml_intern.graph import operations as ops
from ml_intern.graph.events import Event
from ml_intern.session.threads import open_threads
from ml_intern.session.wire.attaching import attach
from ml_intern.session.wire.client import RemoteSession
from ml_intern.session.wire.schema import wire_schema
from tests.session.conftest import bash

STEPS: list[dict[str, Any]] = [{"tool_calls": [bash("cat; echo made > made; echo loud")]}, {"text": "hello"}]
GO = {"type": "user_input", "text": "go"}


@pytest.fixture
def words(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command, with a script and a home of its own."""
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"mcpServers": {"hf-mcp-server": {"enabled": False}}}))
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path_factory.mktemp("h") / "home"))
    monkeypatch.setenv("ML_INTERN_CLI_CONFIG", str(settings))
    (script := tmp_path / "script.yaml").write_text(yaml.safe_dump(STEPS))
    (work := tmp_path / "work").mkdir()
    given = ["-m", f"scripted:{script}", "-C", str(work), "--no-sandbox", "--approval-mode", "auto"]
    return [sys.executable, "-m", "ml_intern", "session", "--json", *given]


def no_warning(message: str, remedy: str) -> None:
    raise AssertionError(message, remedy)


STARTED: list[asyncio.subprocess.Process] = []


async def all_ended() -> None:
    while STARTED:
        await STARTED.pop().wait()


def connector(words: list[str]) -> Callable[[], Any]:
    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        STARTED.append(process)
        assert process.stdin
        assert process.stdout
        return process.stdout, process.stdin

    return connect


async def test_a_child_process_is_a_session_and_ends_with_its_input(words: list[str], tmp_path: Path) -> None:
    async with open_threads(no_warning) as threads:
        session = await RemoteSession.open(connector(words), threads, name="api", owned=True)
        seen: list[Event] = []

        async def read() -> None:
            async for event in session.events():
                seen.append(event)

        reading = asyncio.create_task(read())
        await session.submit(ops.UserInput("go"))
        await session.idle()
        assert session.end is not None
        assert (session.end.status, session.end.text) == ("done", "hello")
        assert (tmp_path / "work" / "made").read_text() == "made\n"
        [output] = [event.data["text"] for event in seen if event.type == "tool_output"]
        assert "loud" in output
        assert not session.attached
        await session.close()
        await reading
        assert [seen[0].type, seen[-1].type, seen[-1].data] == ["ready", "shutdown", {"reason": "closed"}]
        async with threads.read(session.thread_id) as thread:
            assert [one.text for one in await thread.history() if one.role == "user"] == ["go"]
        with pytest.raises(UsageError, match="no thread 'nothing'"):
            await RemoteSession.open(connector([*words, "-r", "nothing"]), threads, name="api", owned=True)
        await all_ended()


def test_lines_sent_before_the_end_of_the_input_are_answered(words: list[str]) -> None:
    lines = [{"id": 1, "watch": {"after": None, "state": True}}, {"id": 2, "get": "row"}, {"id": 3, "do": GO}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[0]["wire"] == 1
    assert {line["id"] for line in answers if "id" in line} == {1, 2, 3}
    assert answers[-1]["event"]["type"] == "shutdown"


def test_a_signal_ends_it_and_the_thread_can_be_resumed(words: list[str]) -> None:
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["wire"] == 1
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 143


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["session", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == wire_schema()
    assert main(["session"]) == 2


async def test_a_running_thread_is_answered_from_elsewhere_and_outlives_its_process(words: list[str]) -> None:
    words += ["--approval-mode", "ask"]
    async with open_threads(no_warning) as threads:
        session = await RemoteSession.open(connector(words), threads, name="api", owned=True)
        holder, seen = STARTED[-1], list[Event]()

        async def read() -> None:
            async for event in session.events():
                seen.append(event)

        reading = asyncio.create_task(read())
        await session.submit(ops.UserInput("go"))
        await session.idle()
        command = [*words[:3], "approve", session.thread_id, "--all"]
        approving = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await approving.communicate()
        assert (approving.returncode, out) == (0, b"hello\n"), err
        assert b"answered with ml-intern approve" in err
        await session.idle()
        assert [event.data["by"] for event in seen if event.type == "approval_answered"] == ["approve"]
        async with attach(threads, session.thread_id) as other:
            holder.kill()
            with pytest.raises(TemporaryError, match=r"has ended \(continue with: ml-intern -r"):
                async for _ in other.events():
                    pass
        with pytest.raises(TemporaryError):
            await reading
        await session.close()
        await all_ended()
        async with threads.hold(session.thread_id) as thread:
            assert [turn.text for turn in await thread.turns()] == ["go"]
