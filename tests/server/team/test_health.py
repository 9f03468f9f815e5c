"""Load balancers learn whether a server or worker can be used, and Prometheus gets its figures from both."""

import socket
import subprocess
import sys
from contextlib import closing

import httpx

from tests.server.team.conftest import TeamServer
from tests.server.web.conftest import SECONDS


def figures(text: str) -> dict[str, float]:
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines() if line[0] != "#")
    }


def free_port() -> int:
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def test_health_needs_no_token_and_metrics_do(team: TeamServer) -> None:
    base = str(team.client.base_url)
    with httpx.Client(base_url=base, trust_env=False) as stranger:
        assert stranger.get("/healthz").text == "ok\n"
        assert stranger.get("/readyz", headers={"host": "probe"}).text == "ready\n"
        assert stranger.get("/metrics").status_code == 401
        assert stranger.get("/api/threads").status_code == 401


def test_the_figures_follow_what_happens(workers: TeamServer) -> None:
    before = figures(workers.client.get("/metrics").text)
    thread = workers.create({"text": "done"})
    waiting = figures(workers.client.get("/metrics").text)
    assert waiting["ml_intern_queue_operations"] == before["ml_intern_queue_operations"] + 1
    assert waiting["ml_intern_queue_oldest_seconds"] > 0
    workers.start_worker()
    workers.done(thread)
    after = figures(workers.client.get("/metrics").text)
    assert after["ml_intern_queue_operations"] == before["ml_intern_queue_operations"]
    assert after['ml_intern_operations_stored{state="done"}'] == before['ml_intern_operations_stored{state="done"}'] + 1
    assert after["ml_intern_requests_total"] == before["ml_intern_requests_total"] + 1
    assert 0 < after["ml_intern_database_connections"] <= after["ml_intern_database_connections_max"]


def test_a_worker_serves_its_own_figures_and_ends_with_its_signal(workers: TeamServer) -> None:
    port = free_port()
    command = [sys.executable, "-m", "ml_intern", "worker", "--metrics", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "waiting for threads" in process.stderr.readline()
        thread = workers.create({"text": "done"})
        workers.done(thread)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert client.get("/readyz").text == "ready\n"
            assert figures(client.get("/metrics").text)["ml_intern_worker_starts_total"] == 1
        process.terminate()
        assert process.wait(SECONDS) == 143


def test_a_wrong_address_is_one_line(team: TeamServer) -> None:
    command = [sys.executable, "-m", "ml_intern", "worker", "--metrics", "nowhere:x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 2
    assert "is not an address and a port" in done.stderr
    assert "Traceback" not in done.stderr
