"""A team's server on a real port in a thread of this process, a database of its own, and workers as processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from starlette.applications import Starlette

from ml_intern.configs.settings import TeamSettings
from ml_intern.server.team.serve import team_app
from ml_intern.server.web.access import Policy
from ml_intern.server.web.serve import WebServer, bound_socket
from ml_intern.session.team.following import open_team_threads
from tests.fakes.postgres import PostgresServer
from tests.server.web.conftest import SECONDS, TOKEN, Web

MODELS = ("*", "scripted:/*.yaml")
"""The models that users may name."""
POSTS = 150
"""Changes that a user may send within a minute."""


class TeamServer(Web):
    """A running server, its clients, and its workers."""

    def __init__(self, root: Path, policy: Policy, database: str) -> None:
        super().__init__(root, policy)
        self.database = database
        self.app: Starlette | None = None
        self.workers: list[subprocess.Popen[str]] = []

    def start_worker(self) -> "subprocess.Popen[str]":
        """Start a worker and wait until it looks for threads."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ml_intern", "worker"], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stderr is not None
        assert "waiting for threads" in process.stderr.readline()
        self.workers.append(process)
        return process

    def create(self, *steps: dict[str, Any], text: str = "go") -> str:
        """Create a thread with a first message, which a worker takes."""
        return self.start(*steps, text=text)

    def post(self, thread: str, operation: dict[str, Any], id: str) -> dict[str, Any]:
        """Post an operation and return the answer."""
        body = {"id": id, "do": operation}
        return dict(self.client.post(f"/api/threads/{thread}/operations", json=body).json())

    def wait(self, thread: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the thread's row as soon as something holds for it."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            row = self.client.get(f"/api/threads/{thread}/row").json()
            if holds(row):
                return dict(row)
            time.sleep(0.05)
        raise AssertionError(f"the thread is still {row}: {self.history(thread)}")

    def done(self, thread: str, turns: int = 1) -> dict[str, Any]:
        return self.wait(thread, lambda row: row["state"] == "idle" and row["turns"] >= turns)

    def history(self, thread: str) -> list[dict[str, Any]]:
        return list(self.client.get(f"/api/threads/{thread}/history").json())

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def process_of(self, thread: str) -> int:
        """The id of the process that runs a thread, once there is one."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    words = path.read_bytes().split(b"\0")
                    if thread.encode() in words:
                        return int(path.parent.name)
            lock = self.root / "home" / "locks" / f"{thread}.lock"
            with suppress(OSError, ValueError):
                pid = int(lock.read_text())
                if Path(f"/proc/{pid}").exists():
                    return pid
            time.sleep(0.05)
        raise AssertionError("no process runs the thread")

    def end_workers(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End all workers."""
        for process in self.workers:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
                os.kill(process.pid, number)
        for process in self.workers:
            process.communicate(timeout=SECONDS)
        self.workers.clear()


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[TeamServer]:
    root = tmp_path_factory.mktemp("team")
    settings = root / "settings.json"
    off = {"mcpServers": {"hf-mcp-server": {"enabled": False}}, "sandbox": {"enabled": False}}
    settings.write_text(json.dumps(off))
    database = postgres.new_database()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_INTERN_HOME", str(root / "home"))
        patch.setenv("ML_INTERN_CLI_CONFIG", str(settings))
        patch.setenv("ML_INTERN_DATABASE", database)
        listening = bound_socket("127.0.0.1", 0, "")
        policy = Policy(TOKEN, int(listening.getsockname()[1]))
        servers: list[WebServer] = []
        started = TeamServer(root, policy, database)

        async def serve() -> None:
            async with open_team_threads() as threads:
                started.app = team_app(policy, threads, TeamSettings(posts_per_minute=POSTS, models=MODELS))
                servers.append(WebServer(started.app))
                await servers[0].serve(sockets=[listening])

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            yield started
        finally:
            started.end_workers()
            started.client.close()
            servers[0].should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()


@pytest.fixture
def workers(team: TeamServer) -> Iterator[TeamServer]:
    """The server without workers. Those that the test starts are ended."""
    yield team
    team.end_workers()
