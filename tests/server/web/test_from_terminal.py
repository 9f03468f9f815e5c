"""Threads of a server in the terminal of another machine: log in, write, approve, and what goes wrong."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_intern.configs.errors import ConfigurationError, TemporaryError, UsageError
from ml_intern.graph.events import Event
from ml_intern.graph.operations import Decision, ExecApproval, Interrupt, New, Resume, Undo, UserInput
from ml_intern.session.remote.client import ServerClient, open_client
from ml_intern.session.remote.opening import user_of
from ml_intern.session.remote.servers import SavedServer, server_url
from ml_intern.session.remote.session import ServerSession, threads_of
from tests.fakes.loopback import Loopback
from tests.server.web.conftest import SECONDS, TOKEN, Web

BASH = {"tool_calls": [{"name": "bash", "args": {"command": "echo ran >> log"}}]}


@pytest.fixture
def lab(web: Web) -> SavedServer:
    (web.root / "work").mkdir(exist_ok=True)
    return SavedServer("lab", web.url, TOKEN)


@asynccontextmanager
async def opened(client: ServerClient, thread_id: str, **new: str) -> AsyncIterator[tuple[ServerSession, list[Event]]]:
    """A session whose events are read."""
    session, seen = await ServerSession.open(client, thread_id, **new), list[Event]()

    async def read() -> None:
        async for event in session.events():
            seen.append(event)

    reading = asyncio.create_task(read())
    try:
        async with asyncio.timeout(SECONDS):
            yield session, seen
    finally:
        await session.close()
        await reading


async def test_a_thread_of_a_server_is_a_session_here(web: Web, lab: SavedServer) -> None:
    model, folder = web.script({"text": "one"}, BASH, {"text": "two"}, {"text": "three"}), str(web.root / "work")
    async with open_client(lab) as client, opened(client, "", folder=folder, model=model) as (session, seen):
        await session.submit(UserInput("first"))
        await session.at_rest()
        assert session.end is not None
        assert (session.end.status, session.end.text) == ("done", "one")
        await session.submit(UserInput("second"))
        await session.at_rest()
        assert session.end is not None
        assert (session.end.status, session.end.exit_code) == ("waiting", 3)
        pending = await session.pending_approval()
        assert pending is not None
        answers = {request["id"]: Decision(type="approve") for request in pending["requests"]}
        await session.submit(ExecApproval(answers))
        await session.at_rest()
        assert session.end is not None
        assert session.end.text == "two"
        assert (web.root / "work" / "log").read_text() == "ran\n"
        assert [event.type for event in seen if event.type in ("ready", "turn_complete")][-1] == "turn_complete"
        numbers = [event.seq for event in seen if event.type == "tool_output"]
        assert len(numbers) == len(set(numbers)) == 1
        thread = session.thread_id
        await session.submit(New())
        assert session.thread_id == ""
        await session.submit(Resume(thread[:8]))
        assert [one.text for one in await session.history() if one.role == "user"] == ["first", "second"]
        moved = await session.move(Undo())
        assert (moved.turns, moved.text) == (1, "second")
        with pytest.raises(UsageError, match="no approval is pending"):
            await session.submit(ExecApproval(answers))
        with pytest.raises(UsageError, match="not available with --server"):
            await session.permissions()
        rows = await threads_of(client).list(folder, 1)
        assert [(row.id, row.turns) for row in rows] == [(thread, 1)]


async def test_the_session_is_idle_when_its_first_message_needs_an_answer(web: Web, lab: SavedServer) -> None:
    """A terminal asks about the calls as soon as the session is idle, so it must not be before they were read."""
    model, folder = web.script({**BASH, "delay": 1.0}, {"text": "done"}), str(web.root / "work")
    async with open_client(lab) as client, opened(client, "", folder=folder, model=model) as (session, seen):
        message = UserInput("first")
        await session.submit(message)
        await session.idle()
        assert seen[-1].type == "approval_required"
        assert [event.data["id"] for event in seen if event.type == "processing"] == [message.id]
        (request,) = seen[-1].data["requests"]
        await session.submit(ExecApproval({request["id"]: Decision(type="reject")}))
        await session.idle()
        assert session.end is not None
        assert session.end.text == "done"


async def test_another_client_sees_a_running_turn_and_can_stop_it(web: Web, lab: SavedServer) -> None:
    wait = {"tool_calls": [{"name": "read", "args": {"path": "log"}}], "delay": 300}
    thread = web.start(wait, text="long")
    async with open_client(lab) as client, opened(client, thread) as (session, seen):
        await session.submit(Interrupt())
        await session.at_rest()
        assert session.end is not None
        assert session.end.status == "interrupted"
        assert "interrupted" in [event.type for event in seen]


async def test_what_goes_wrong_is_one_line(lab: SavedServer) -> None:
    with pytest.raises(ConfigurationError, match="refuses the token"):
        await user_of(replace(lab, token="wrong"))
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        away = f"http://127.0.0.1:{silent.getsockname()[1]}"
    with pytest.raises(TemporaryError, match="does not answer"):
        await user_of(replace(lab, url=away))
    await user_of(lab)


@pytest.mark.parametrize(("wire", "message"), [("0", "speaks version 0 of the format"), (None, "is not a server of")])
async def test_another_program_or_version_is_refused(wire: str | None, message: str) -> None:
    async def answer(_: Request) -> Response:
        return JSONResponse({"name": "", "admin": False}, headers={"x-wire": wire} if wire else {})

    with Loopback([Route("/api/me", answer)]) as other, pytest.raises(UsageError, match=message):
        await user_of(SavedServer("other", other.url, "t"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://example.org", "without encryption"),
        ("ftp://example.org", "not the address"),
        ("https://example.org/?token=x", "contains a token"),
    ],
)
def test_an_address_that_would_show_the_token_is_refused(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        server_url(address, insecure=False)
    assert server_url("https://example.org/some/page", insecure=False) == "https://example.org"
    assert server_url("http://example.org", insecure=True) == "http://example.org"


def test_log_in_and_run_a_prompt_there(web: Web, lab: SavedServer, tmp_path: Path) -> None:
    environment = {**os.environ, "ML_INTERN_HOME": str(tmp_path / "home")}

    def run(*words: str, said: str = "") -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "ml_intern", *words]
        return subprocess.run(
            command, input=said, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
        )

    assert run("login", lab.url, "--name", "lab", said=TOKEN).returncode == 0
    file = tmp_path / "home" / "servers.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert TOKEN not in run("login", "--list").stdout
    folder, model = str(web.root / "work"), web.script({"text": "from there"})
    answered = run("--server", "lab", "-p", "hello", "-C", folder, "-m", model, "--output-format", "json")
    assert json.loads(answered.stdout)["text"] == "from there", answered.stderr
    refused = run("jobs", "logs", "x", "--server", "lab")
    assert refused.returncode == UsageError.exit_code
    assert "works with the threads of this machine" in refused.stderr
    assert not list((tmp_path / "home").glob("*.db*"))
