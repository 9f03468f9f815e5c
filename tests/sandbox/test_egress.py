import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_intern.sandbox.bubblewrap import missing
from ml_intern.sandbox.egress import Upstream, upstream_of
from ml_intern.sandbox.network_hosts import hosts_for
from ml_intern.sandbox.profile import SandboxRequest, profile_for
from tests.sandbox.wrapped_runs import run_wrapped

needs_sandbox = pytest.mark.skipif(missing() is not None, reason=f"no sandbox here: {missing()}")
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
def test_only_listed_hosts_may_be_reached(host: str, port: int, *, allowed: bool) -> None:
    environment = {"UV_INDEX": "corp=https://index.corp.example:8443/simple", "HF_ENDPOINT": "http://127.0.0.1:9999"}
    assert hosts_for(environment, ["data.example", ".sub.example"]).allows(host, port) is allowed


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
def test_a_name_never_leads_to_this_machine_or_its_link(host: str, address: str, *, allowed: bool) -> None:
    assert hosts_for({}, [".sub.example"]).allows_address(host, 443, address) is allowed


def test_the_machines_own_proxy_is_gone_through() -> None:
    assert upstream_of({"HTTPS_PROXY": "http://u:p%40@proxy.example:3128"}) == Upstream(
        "proxy.example", 3128, "dTpwQA=="
    )
    assert upstream_of({"https_proxy": "proxy.example:80"}) == Upstream("proxy.example", 80)
    assert upstream_of({}) is None


class Hub(http.server.BaseHTTPRequestHandler):
    """A Hub that has one file, and answers a proxied request too."""

    def do_GET(self) -> None:
        body = b"the data set"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def inside(folder: Path, command: str, **settings: str) -> tuple[str, list[str]]:
    """What a command prints inside a sandbox with network `list`, and what the way out refused."""
    (folder / "home").mkdir(exist_ok=True)
    (folder / "ws").mkdir(exist_ok=True)
    (folder / "ws/fetch.py").write_text(FETCH)
    (folder / "ws/talk.py").write_text(TALK)
    environment = {**os.environ, "HOME": str(folder / "home"), **settings}
    ran = run_wrapped(
        ["bash", "-c", command], profile_for(SandboxRequest(str(folder / "ws"), network="list"), environment), 60
    )
    return ran.out + ran.err, ran.refused


@needs_sandbox
def test_a_configured_hub_on_this_machine_is_reached_under_its_own_address(tmp_path: Path, hub: int) -> None:
    endpoint = f"http://127.0.0.1:{hub}"
    assert inside(tmp_path, f"python3 fetch.py {endpoint}/x", HF_ENDPOINT=endpoint) == ("the data set\n", [])


@needs_sandbox
def test_the_proxy_fetches_from_a_configured_address(tmp_path: Path, hub: int) -> None:
    endpoint = f"http://127.0.0.1:{hub}"
    command = f"NO_PROXY= no_proxy= python3 fetch.py {endpoint}/x"
    assert inside(tmp_path, command, HF_ENDPOINT=endpoint) == ("the data set\n", [])


@needs_sandbox
def test_any_other_address_is_refused_and_said(tmp_path: Path, hub: int) -> None:
    output, refused = inside(tmp_path, f"NO_PROXY= no_proxy= python3 fetch.py http://127.0.0.1:{hub}/x")
    assert "HTTP Error 403" in output
    assert refused == [f"127.0.0.1:{hub}"]


@needs_sandbox
@pytest.mark.parametrize(
    "target", ["evil.example:443", "127.0.0.1:22", "169.254.169.254:80", "[::1]:80", "pypi.org:25", "x:99999"]
)
def test_a_tunnel_to_an_unlisted_place_is_refused(tmp_path: Path, target: str) -> None:
    said, refused = inside(tmp_path, f"python3 talk.py 'CONNECT {target} HTTP/1.1\\r\\n\\r\\n'")
    assert said == "HTTP/1.1 403 Forbidden\n"
    assert len(refused) == 1


@needs_sandbox
@pytest.mark.parametrize("sent", ["", "GET / HTTP/1.1", "\\0\\0", "CONNECT", "CONNECT a b c", "GET ftp://x/ HTTP/1.1"])
def test_what_is_no_request_is_answered_in_one_line(tmp_path: Path, sent: str) -> None:
    assert inside(tmp_path, f"python3 talk.py '{sent}\\r\\n\\r\\n'")[0] == "HTTP/1.1 400 Bad Request\n"


@needs_sandbox
def test_past_the_proxy_there_is_no_network(tmp_path: Path, hub: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        command = f"exec 3<>/dev/tcp/127.0.0.1/{other.getsockname()[1]} && echo reached"
        output, _ = inside(tmp_path, command, HF_ENDPOINT=f"http://127.0.0.1:{hub}")
    assert "reached" not in output


@needs_sandbox
def test_servers_inside_still_talk_to_each_other(tmp_path: Path) -> None:
    command = """
    echo hello > f
    python3 -m http.server 8123 >/dev/null 2>&1 &
    for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8123) 2>/dev/null && break; sleep 0.1; done
    python3 fetch.py http://127.0.0.1:8123/f
    """
    assert inside(tmp_path, command) == ("hello\n\n", [])


@needs_sandbox
def test_a_program_that_is_missing_is_one_line(tmp_path: Path) -> None:
    assert inside(tmp_path, "exec /nowhere/program")[0].strip().endswith("No such file or directory")
