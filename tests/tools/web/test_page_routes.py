"""Connections to pages: TLS is verified against the requested host name, and the user's proxy is used.

Each in a process of its own: the trusted authorities are read once a process.
"""

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from tests.fakes.tls_proxy import TlsProxy
from tests.fakes.website import Website

ROOT = Path(__file__).resolve().parents[3]
FETCH = """
import asyncio, sys
from ml_intern.execution.call import ToolError
from ml_intern.net.pages import fetch
try:
    print(asyncio.run(fetch(sys.argv[1], tuple(sys.argv[2:]))).body.decode())
except ToolError as fault:
    print("refused:", fault)
"""


def fetched(url: str, *private_hosts: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, url, *private_hosts], cwd=ROOT, env={**kept, **environment},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"hello from {self.headers['host']}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@contextmanager
def tls_server(name: str, authority: trustme.CA) -> Iterator[int]:
    """A server on loopback whose certificate is for `name` alone; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(("name", "expected"), [("localhost", "hello from localhost:"), ("other.test", "refused:")])
def test_the_certificate_must_match_the_host_name(tmp_path: Path, name: str, expected: str) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with tls_server(name, authority) as port:
        url = f"https://localhost:{port}/"
        assert fetched(url, "localhost", SSL_CERT_FILE=str(tmp_path / "ca.pem")).startswith(expected)


def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    with tls_server("localhost", trustme.CA()) as port:
        assert fetched(f"https://localhost:{port}/", "localhost").startswith("refused:")


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    with Website() as site, TlsProxy(site.host, tmp_path) as proxy:
        yield {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": str(proxy.certificate)}


def test_the_users_proxy_is_used_but_not_for_private_addresses(proxied: Mapping[str, str]) -> None:
    assert fetched("https://pages.test/plain", **proxied).endswith("of two lines")
    assert "is not public" in fetched("https://10.0.0.1/plain", **proxied)
