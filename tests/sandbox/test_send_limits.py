"""Sending from the sandbox while outside text is in the conversation: attacks, each with a harmless twin."""

import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ml_intern.sandbox.basic.wrapping import basic_problem
from ml_intern.sandbox.bubblewrap import Kind, sandbox_problem
from ml_intern.sandbox.profile import SandboxRequest, build_profile
from ml_intern.sandbox.send_limits import (
    HOST_BYTES,
    HUB_BYTES,
    THREAD_BYTES,
    SendLimits,
    SentBytes,
    hosts_of_keys,
)
from tests.sandbox.wrapped_runs import run_wrapped

ROOT = Path(__file__).resolve().parents[2]
needs_sandbox = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")
LIMITS = SendLimits(
    "while text from elsewhere.example is in the conversation",
    frozenset({"uploads.named.example"}),
    frozenset({"wandb.ai"}),
)


@pytest.mark.parametrize(
    ("attack", "harmless"),
    [
        ((b"POST", "pypi.org"), (b"GET", "pypi.org")),
        ((b"PUT", "huggingface.co"), (b"HEAD", "huggingface.co")),
        ((b"PATCH", "github.com"), (b"GET", "github.com")),
        ((b"DELETE", "github.com"), (b"CONNECT", "github.com")),
        ((b"CONNECT", "uploads.github.com"), (b"CONNECT", "api.github.com")),
        ((b"CONNECT", "UPLOAD.pypi.org"), (b"CONNECT", "files.pythonhosted.org")),
        ((b"CONNECT", "upload-eu.hf.co"), (b"CONNECT", "cdn-lfs.hf.co")),
        ((b"POST", "uploads.unnamed.example"), (b"POST", "uploads.named.example")),
    ],
)
def test_only_reading_requests_and_hosts_are_allowed(attack: tuple[bytes, str], harmless: tuple[bytes, str]) -> None:
    assert "elsewhere.example is in the conversation" in LIMITS.refusal(*attack)
    assert LIMITS.refusal(*harmless) == ""


@pytest.mark.parametrize(
    ("host", "too_much", "fine"),
    [
        ("pypi.org", HOST_BYTES + 1, 37_000),
        ("github.com", HOST_BYTES + 1, 20_000),
        ("huggingface.co.evil.example", HOST_BYTES + 1, HOST_BYTES),
        ("huggingface.co", HUB_BYTES + 1, 800_000),
        ("cas-server.xethub.hf.co", HUB_BYTES + 1, HUB_BYTES),
    ],
)
def test_the_bytes_to_a_host_are_limited(host: str, too_much: int, fine: int) -> None:
    assert not SentBytes().add(host, too_much, LIMITS)
    assert SentBytes().add(host, fine, LIMITS)
    assert SentBytes().add(host, too_much, None)


def test_small_pieces_and_several_hosts_are_added_up() -> None:
    pieces = SentBytes()
    assert [pieces.add("pypi.org", HOST_BYTES // 2, LIMITS) for _ in range(3)] == [True, True, False]
    hosts = SentBytes()
    assert not all(hosts.add(f"{number}.example", HOST_BYTES, LIMITS) for number in range(16))
    assert "4 MB in a thread" in hosts.cut[0]


def test_all_commands_of_a_thread_are_counted_together_also_by_other_processes(tmp_path: Path) -> None:
    shared = replace(LIMITS, count=str(tmp_path / "sent"))
    assert SentBytes().add("pypi.org", 37_000, shared)
    other = "import sys; from ml_intern.sandbox.send_limits import add_to_count as a; print(a(sys.argv[1], 3_999_999))"
    subprocess.run([sys.executable, "-c", other, shared.count], check=True)
    last = SentBytes()
    assert not last.add("github.com", 1, shared)
    assert "4 MB in a thread" in last.cut[0]
    assert SentBytes().add("github.com", 1, replace(LIMITS, count=str(tmp_path / "of another thread")))


def test_bytes_that_cannot_be_counted_are_not_sent(tmp_path: Path) -> None:
    sent = SentBytes()
    assert not sent.add("pypi.org", 1, replace(LIMITS, count=str(tmp_path / "missing/sent")))
    assert "cannot be counted" in sent.cut[0]


def test_a_key_that_the_command_was_given_allows_any_amount_to_its_service_only() -> None:
    assert SentBytes().add("api.wandb.ai", THREAD_BYTES + 1, LIMITS)
    assert LIMITS.refusal(b"POST", "upload.wandb.ai") == ""
    assert not SentBytes().add("wandb.ai.evil.example", THREAD_BYTES, LIMITS)
    assert hosts_of_keys(["HF_TOKEN"], ["mine.example"]) >= {"huggingface.co", "hf.co"}
    assert hosts_of_keys(["WANDB_API_KEY"], ["mine.example"]) == {"wandb.ai"}
    assert hosts_of_keys(["MLFLOW_TOKEN"], [".mine.example"]) == {"mine.example"}
    assert hosts_of_keys([], ["mine.example"]) == set()


@dataclass
class Hub:
    """A Hub on loopback, and the bytes that it received by method."""

    url: str = ""
    received: Counter[str] = field(default_factory=Counter[str])


@pytest.fixture
def hub() -> Iterator[Hub]:
    found = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            left = int(self.headers.get("Content-Length", 0))
            found.received[self.command] += len(self.path)
            while left > 0 and (part := self.rfile.read(min(left, 8192))):
                left -= len(part)
                found.received[self.command] += len(part)
            body = b"x" * 3_000_000
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_POST = do_PUT = do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that commands in the sandbox see: not below /tmp or a home folder."""
    hidden = ("/tmp", "/var/tmp", "/home", "/root", "/run")
    shown = [path for path in (ROOT, Path("/srv"), Path("/mnt")) if not str(path).startswith(hidden)]
    parent = next((path for path in shown if os.access(path, os.W_OK)), None)
    if parent is None:
        pytest.skip("no folder that the sandbox shows can be written here")
    cache = parent / ".pytest_cache" if parent == ROOT else parent
    cache.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=cache))
    yield folder
    shutil.rmtree(folder)


SANDBOXES = pytest.mark.parametrize("kind", [
    pytest.param("bubblewrap", marks=needs_sandbox),
    pytest.param("basic", marks=pytest.mark.skipif(basic_problem() is not None, reason=str(basic_problem()))),
])  # fmt: skip
CODE = """
import os, sys, http.client, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
method, url, tunnel = sys.argv[1], urllib.parse.urlsplit(sys.argv[2]), sys.argv[5:]
size, count = int(sys.argv[3]), int(sys.argv[4])
for _ in range(count):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    if tunnel:
        connection.set_tunnel(url.hostname, url.port)
    connection.request(method, "/x" if tunnel else sys.argv[2], b"s" * size)
    answer = connection.getresponse()
    print(answer.status, len(answer.read()))
"""


def inside(folder: Path, hub: Hub, words: str, limits: SendLimits | None = LIMITS, kind: Kind = "bubblewrap") -> str:
    """Return the output of a program in the sandbox that sends METHOD URL SIZE COUNT [tunnel]."""
    for name in ("home", "ws"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "ws/send.py").write_text(CODE)
    environment = {**os.environ, "HOME": str(folder / "home"), "HF_ENDPOINT": hub.url}
    profile = build_profile(SandboxRequest(str(folder / "ws"), network="list", kind=kind), environment)
    profile = replace(profile, hosts=replace(profile.hosts, limits=limits))
    ran = run_wrapped(["bash", "-c", words.replace("URL", hub.url)], profile, 60)
    return ran.out + ran.err


@SANDBOXES
@pytest.mark.parametrize(
    ("attack", "harmless"),
    [
        ("python3 send.py POST URL/x 9 1", "python3 send.py GET URL/x 0 1"),
        ("python3 send.py PUT URL/x 9 1", "python3 send.py HEAD URL/x 0 1"),
        ("python3 send.py GET URL/x 600000 1", "python3 send.py GET URL/x 1000 1"),
        ("python3 send.py POST URL/x 600000 1 tunnel", "python3 send.py POST URL/x 1000 1 tunnel"),
        ("python3 send.py POST URL/x 90000 6 tunnel", "python3 send.py POST URL/x 20000 6 tunnel"),
        ("python3 send.py GET URL/?q=$(printf s%.0s $(seq 50000)) 0 8", "python3 send.py GET URL/?q=small 0 8"),
    ],
)
def test_a_program_sends_no_more_than_allowed(place: Path, hub: Hub, kind: Kind, attack: str, harmless: str) -> None:
    count = int(harmless.removesuffix(" tunnel").split()[-1])
    assert inside(place, hub, attack, kind=kind).count("200 ") < int(attack.removesuffix(" tunnel").split()[-1])
    assert hub.received.total() <= HOST_BYTES + 100
    assert inside(place, hub, harmless, kind=kind).count("200 ") == count
    assert inside(place, hub, harmless, None, kind=kind).count("200 ") == count


@SANDBOXES
def test_a_connection_past_the_proxy_to_a_configured_endpoint_is_limited_too(place: Path, hub: Hub, kind: Kind) -> None:
    port = hub.url.rpartition(":")[2]
    send = f"python3 -c 'import socket as s; c = s.create_connection((\"127.0.0.1\", {port})); SEND; print(c.recv(9))'"
    head = 'c.sendall(b"POST / HTTP/1.1\\r\\nContent-Length: 600000\\r\\n\\r\\n"); c.sendall(b"s" * 600000)'
    inside(place, hub, send.replace("SEND", head), kind=kind)
    assert hub.received.total() <= HOST_BYTES
    small = 'c.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")'
    assert "HTTP/1" in inside(place, hub, send.replace("SEND", small), kind=kind)


@needs_sandbox
def test_without_outside_text_nothing_is_limited(tmp_path: Path, hub: Hub) -> None:
    assert inside(tmp_path, hub, "python3 send.py POST URL/x 600000 1", None) == "200 3000000\n"


@needs_sandbox
def test_metrics_posted_to_a_server_inside_are_not_limited(tmp_path: Path, hub: Hub) -> None:
    server = """
python3 - <<'END' &
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200); self.end_headers(); self.wfile.write(str(size).encode())
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", 8123), Handler).serve_forever()
END
for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8123) 2>/dev/null && break; sleep 0.1; done
python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:8123/", b"m" * 600000).read().decode())'
"""
    assert inside(tmp_path, hub, server) == "600000\n"
