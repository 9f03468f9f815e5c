import gc
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_intern.sandbox.bubblewrap import sandbox_problem
from ml_intern.sandbox.egress import UpstreamProxy, find_upstream_proxy
from ml_intern.sandbox.network_hosts import allowed_hosts
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from tests.sandbox.wrapped_runs import run_wrapped

needs_sandbox = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=9).read().decode())"
TALK = """
import socket, sys
s = socket.create_connection(("127.0.0.1", 3128), 9)
s.sendall(sys.argv[1].encode().decode("unicode_escape").encode())
print(s.recv(99).decode().splitlines()[0])
"""


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        ("pypi.org", 443, True),
        ("PyPI.org.", 443, True),
        ("huggingface.co", 443, True),
        ("cdn-lfs.hf.co", 443, True),
        ("raw.githubusercontent.com", 443, True),
        ("pypi.org", 22, False),
        ("evil.example", 443, False),
        ("pypi.org.evil.example", 443, False),
        ("evilhf.co", 443, False),
        ("1.1.1.1", 443, False),
        ("index.corp.example", 8443, True),
        ("index.corp.example", 443, False),
        ("127.0.0.1", 9999, True),
        ("127.0.0.1", 9998, False),
        ("data.example", 443, True),
        ("a.sub.example", 443, True),
        ("sub.example", 443, False),
    ],
)
def test_only_listed_hosts_are_allowed(host: str, port: int, *, allowed: bool) -> None:
    environment = {"UV_INDEX": "corp=https://index.corp.example:8443/simple", "HF_ENDPOINT": "http://127.0.0.1:9999"}
    assert allowed_hosts(environment, ["data.example", ".sub.example"]).allows(host, port) is allowed


@pytest.mark.parametrize(
    ("host", "address", "allowed"),
    [
        ("pypi.org", "151.101.0.223", True),
        ("pypi.org", "10.0.0.5", True),
        ("pypi.org", "169.254.169.254", False),
        ("pypi.org", "127.0.0.1", False),
        ("pypi.org", "::1", False),
        ("a.sub.example", "93.184.216.34", True),
        ("a.sub.example", "10.0.0.5", False),
        ("a.sub.example", "fe80::1", False),
    ],
)
def test_names_never_resolve_to_loopback_or_link_local_addresses(host: str, address: str, *, allowed: bool) -> None:
    assert allowed_hosts({}, [".sub.example"]).allows_address(host, 443, address) is allowed


def test_the_machines_upstream_proxy_is_used() -> None:
    assert find_upstream_proxy({"HTTPS_PROXY": "http://u:p%40@proxy.example:3128"}) == UpstreamProxy(
        "proxy.example", 3128, "dTpwQA=="
    )
    assert find_upstream_proxy({"https_proxy": "proxy.example:80"}) == UpstreamProxy("proxy.example", 80)
    assert find_upstream_proxy({}) is None


class Hub(http.server.BaseHTTPRequestHandler):
    """A Hub with one file that also answers proxied requests."""

    def do_GET(self) -> None:
        body = b"the data set"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def hub() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def inside(folder: Path, command: str, **settings: str) -> tuple[str, list[str]]:
    """Return the output of a command in a sandbox with network `list`, and the refused connections."""
    (folder / "home").mkdir(exist_ok=True)
    (folder / "ws").mkdir(exist_ok=True)
    (folder / "ws/fetch.py").write_text(FETCH)
    (folder / "ws/talk.py").write_text(TALK)
    environment = {**os.environ, "HOME": str(folder / "home"), **settings}
    ran = run_wrapped(
        ["bash", "-c", command], build_profile(SandboxRequest(str(folder / "ws"), network="list"), environment), 60
    )
    return ran.out + ran.err, ran.refused


@needs_sandbox
def test_a_configured_local_hub_is_reachable_at_its_own_address(tmp_path: Path, hub: int) -> None:
    endpoint = f"http://127.0.0.1:{hub}"
    assert inside(tmp_path, f"python3 fetch.py {endpoint}/x", HF_ENDPOINT=endpoint) == ("the data set\n", [])


@needs_sandbox
def test_the_proxy_fetches_from_a_configured_address(tmp_path: Path, hub: int) -> None:
    endpoint = f"http://127.0.0.1:{hub}"
    command = f"NO_PROXY= no_proxy= python3 fetch.py {endpoint}/x"
    assert inside(tmp_path, command, HF_ENDPOINT=endpoint) == ("the data set\n", [])


@needs_sandbox
def test_other_addresses_are_refused_and_recorded(tmp_path: Path, hub: int) -> None:
    output, refused = inside(tmp_path, f"NO_PROXY= no_proxy= python3 fetch.py http://127.0.0.1:{hub}/x")
    assert "HTTP Error 403" in output
    assert refused == [f"127.0.0.1:{hub}"]


@needs_sandbox
@pytest.mark.parametrize(
    "target", ["evil.example:443", "127.0.0.1:22", "169.254.169.254:80", "[::1]:80", "pypi.org:25", "x:99999"]
)
def test_a_tunnel_to_an_unlisted_host_is_refused(tmp_path: Path, target: str) -> None:
    output, refused = inside(tmp_path, f"python3 talk.py 'CONNECT {target} HTTP/1.1\\r\\n\\r\\n'")
    assert output == "HTTP/1.1 403 Forbidden\n"
    assert len(refused) == 1


@needs_sandbox
@pytest.mark.parametrize("sent", ["", "GET / HTTP/1.1", "\\0\\0", "CONNECT", "CONNECT a b c", "GET ftp://x/ HTTP/1.1"])
def test_invalid_requests_get_status_400(tmp_path: Path, sent: str) -> None:
    assert inside(tmp_path, f"python3 talk.py '{sent}\\r\\n\\r\\n'")[0] == "HTTP/1.1 400 Bad Request\n"


@needs_sandbox
def test_there_is_no_network_besides_the_proxy(tmp_path: Path, hub: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        command = f"exec 3<>/dev/tcp/127.0.0.1/{other.getsockname()[1]} && echo reached"
        output, _ = inside(tmp_path, command, HF_ENDPOINT=f"http://127.0.0.1:{hub}")
    assert "reached" not in output


@needs_sandbox
def test_servers_inside_are_reachable_inside(tmp_path: Path) -> None:
    command = """
    echo hello > f
    python3 -m http.server 8123 >/dev/null 2>&1 &
    for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8123) 2>/dev/null && break; sleep 0.1; done
    python3 fetch.py http://127.0.0.1:8123/f
    """
    assert inside(tmp_path, command) == ("hello\n\n", [])


@needs_sandbox
def test_a_missing_program_is_reported(tmp_path: Path) -> None:
    assert inside(tmp_path, "exec /nowhere/program")[0].strip().endswith("No such file or directory")


@needs_sandbox
def test_connections_to_a_server_that_never_reads_end_with_the_command(tmp_path: Path) -> None:
    send = "(exec 3<>/dev/tcp/127.0.0.1/PORT; head -c 30M /dev/zero >&3) & python3 fetch.py URL/x & sleep 0.5; echo end"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        command = send.replace("PORT", str(port)).replace("URL", f"http://127.0.0.1:{port}")
        assert inside(tmp_path, command, HF_ENDPOINT=f"http://127.0.0.1:{port}") == ("end\n", [])


@needs_sandbox
def test_a_connection_that_waits_is_not_garbage(tmp_path: Path) -> None:
    def answer_late(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            while connection.recv(4096):
                pass
            gc.collect()
            connection.sendall(b"late\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=answer_late, args=(server,))
        thread.start()
        ask = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.shutdown(1); print(s.recv(9))"
        output, _ = inside(tmp_path, f'python3 -c "{ask}"', HF_ENDPOINT=f"http://127.0.0.1:{port}")
        thread.join()
    assert output == "b'late\\n'\n"
