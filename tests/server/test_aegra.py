"""The graph on Aegra, a server with LangGraph's API. `make test-aegra` installs Aegra in an environment of its own."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_intern.server.studio_process import free_port
from ml_intern.server.token import HEADER
from tests.fakes.postgres import PostgresServer
from tests.session.conftest import Lab, bash

PYTHON = os.environ.get("TESTS_AEGRA", "")
"""The Python of an environment with Aegra and ml-intern."""
ROOT = Path(__file__).parents[2]
START_SECONDS = 100
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="Aegra is not installed (`make test-aegra`, which needs Python 3.12)"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="Redis is not installed (Debian: redis-server)"),
    pytest.mark.timeout(2 * START_SECONDS),
]


@dataclass(frozen=True)
class Aegra:
    """A running server, and requests to it."""

    client: httpx.Client
    lab: Lab

    def post(self, path: str, **body: Any) -> Any:
        """Send a request and return the answer."""
        return self.client.post(path, json=body).raise_for_status().json()

    def state(self, thread: str) -> Any:
        """Return the state of a thread."""
        return self.client.get(f"/threads/{thread}/state").raise_for_status().json()

    def run(self, thread: str, model: str, **given: Any) -> Any:
        """Run a thread, and wait until the run ends."""
        context = {"model": model, "approval_mode": "ask"}
        return self.post(f"/threads/{thread}/runs/wait", assistant_id="agent", context=context, **given)


@contextmanager
def running(words: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program during the block."""
    with log.open("wb") as out, subprocess.Popen(words, stdout=out, stderr=out, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


def log_with(process: subprocess.Popen[bytes], log: Path, *texts: str) -> str:
    """Wait until the log of a process has these texts, and return it."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = log.read_text(errors="replace")
        if all(text in found for text in texts):
            return found
        assert process.poll() is None, found[-3000:]
        assert time.monotonic() < deadline, found[-3000:]
        time.sleep(0.1)


@pytest.fixture
def aegra(tmp_path: Path, lab: Lab, postgres: PostgresServer) -> Iterator[Aegra]:
    """Aegra with Redis and a database of its own, and with the threads of a lab."""
    redis_port, port = free_port(None), free_port(None)
    redis, log = tmp_path / "redis.log", tmp_path / "aegra.log"
    environment = {
        **os.environ,
        "DATABASE_URL": postgres.new_database(),
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "REDIS_BROKER_ENABLED": "true",
        "AEGRA_CONFIG": str(ROOT / "aegra.json"),
        "ML_INTERN_HOME": str(lab.home),
    }
    store = ["redis-server", "--bind", "127.0.0.1", "--port", str(redis_port), "--save", "", "--dir", str(tmp_path)]
    server = [PYTHON, "-m", "uvicorn", "aegra_api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    with running(store, redis) as first:
        log_with(first, redis, "Ready to accept connections")
        with running(server, log, cwd=lab.workspace, env=environment) as second:
            said = log_with(second, log, "token of this server: ", "Application startup complete")
            token = said.partition("token of this server: ")[2].split()[0]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={HEADER: token}, timeout=60) as client:
                yield Aegra(client, lab)


def test_a_thread_is_run_to_its_end_and_its_state_is_read_back(aegra: Aegra) -> None:
    model = aegra.lab.script({"tool_calls": [bash("echo made > made.txt")]}, {"text": "made it"})
    thread = aegra.post("/threads")["thread_id"]
    said = {"messages": [{"role": "user", "content": "make a file"}]}
    assert aegra.run(thread, model, input=said)["outcome"]["status"] == "done"
    state = aegra.state(thread)
    assert state["next"] == []
    assert [message["type"] for message in state["values"]["messages"]] == ["human", "ai", "tool", "ai"]
    assert state["values"]["messages"][-1]["content"] == "made it"
    assert (aegra.lab.workspace / "made.txt").read_text() == "made\n"
    listed = [str(Path(PYTHON).with_name("ml-intern")), "threads", "show", thread, "--json"]
    environment = {**os.environ, "ML_INTERN_HOME": str(aegra.lab.home)}
    shown = subprocess.run(listed, capture_output=True, text=True, check=True, env=environment, cwd=aegra.lab.workspace)
    assert "made it" in json.dumps(json.loads(shown.stdout))


def test_a_request_without_the_token_is_refused(aegra: Aegra) -> None:
    assert httpx.get(aegra.client.base_url.join("/threads"), headers={HEADER: "wrong"}).status_code == 401
