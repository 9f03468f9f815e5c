"""With limits on what is sent in force, packages are installed and repositories cloned as usual, in both sandboxes."""

import http.server
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ml_intern.sandbox.bubblewrap import Kind
from tests.execution.conftest import Bench
from tests.fakes.hub import FakeHub
from tests.runs.backends.test_send_limits import TAINT, output
from tests.sandbox.test_send_limits import SANDBOXES, Hub

ABOUT = {
    "tiny.py": "print('tiny works')\n",
    "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/RECORD": "tiny.py,,\n",
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package index and a repository on loopback."""
    folder, source = tmp_path / "site", tmp_path / "source"
    (folder / "simple/tiny").mkdir(parents=True)
    with zipfile.ZipFile(folder / "simple/tiny/tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in ABOUT.items():
            wheel.writestr(name, text)
    subprocess.run(["git", "init", "-q", source], check=True)
    identity = ("-c", "user.name=n", "-c", "user.email=e@x")
    subprocess.run(["git", "-C", source, *identity, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", source, folder / "r.git"], check=True)
    subprocess.run(["git", "-C", folder / "r.git", "update-server-info"], check=True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{url}/simple")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        yield url
        server.shutdown()
        thread.join()


@SANDBOXES
@pytest.mark.parametrize("where", ["foreground", "background"])
async def test_packages_and_repositories_are_fetched(bench: Bench, site: str, kind: Kind, where: str) -> None:
    install = "uv venv -q v && uv pip install -q --python v/bin/python tiny && v/bin/python -m tiny"
    said = await output(bench, Hub(site), install, kind, where=where, taint=TAINT)
    assert "tiny works" in said, said
    assert "cut the connection" not in said
    clone = "git clone -q URL/r.git r && git -C r log --format=%s"
    said = await output(bench, Hub(site), clone, kind, where=where, taint=TAINT)
    assert "first" in said, said
    assert "cut the connection" not in said


CLIENT = f"{sys.prefix}/bin/hf"
HIDDEN = ("/tmp", "/var/tmp", "/home", "/root", "/run")


@SANDBOXES
@pytest.mark.skipif(os.path.realpath(CLIENT).startswith(HIDDEN), reason="the Hub's client is hidden in the sandbox")
async def test_a_model_is_downloaded_from_the_hub(
    bench: Bench, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHub() as hub:
        hub.add("models", "me/small", {f"part-{number}.json": "{}" * 900 for number in range(9)})
        for name, value in hub.environment(tmp_path / "hf", None).items():
            monkeypatch.setenv(name, value)
        load = f"{CLIENT} download me/small --local-dir model && ls model"
        said = await output(bench, Hub(hub.url), load, kind, taint=TAINT)
    assert "part-8.json" in said, said
    assert "cut the connection" not in said
