"""The web page on a real port, served in a thread of this process, with a home and a folder of its own."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from ml_intern.server.web.access import Policy
from ml_intern.server.web.app import create_app
from ml_intern.server.web.serve import WebServer, bound_socket

TOKEN = "t0ken" * 9
SECONDS = 120.0


class Web:
    """A running server and its clients."""

    def __init__(self, root: Path, policy: Policy) -> None:
        self.root, self.policy = root, policy
        self.url = f"http://127.0.0.1:{policy.port}"
        self.client = httpx.Client(base_url=self.url, headers={"x-api-key": TOKEN}, trust_env=False, timeout=SECONDS)
        self.scripts = 0

    @property
    def address(self) -> str:
        return f"{self.url}/?token={TOKEN}"

    def script(self, *steps: dict[str, Any]) -> str:
        self.scripts += 1
        path = self.root / f"script{self.scripts}.yaml"
        path.write_text(yaml.safe_dump(list(steps), sort_keys=False))
        return f"scripted:{path}"

    def start(self, *steps: dict[str, Any], text: str = "go", folder: str = "work") -> str:
        """Start a thread and return its id."""
        (self.root / folder).mkdir(exist_ok=True)
        form = {"text": text, "folder": str(self.root / folder), "model": self.script(*steps)}
        reply = self.client.post("/new", data=form)
        assert reply.status_code == 204, reply.text
        return reply.headers["hx-redirect"].removeprefix("/t/")

    def page(self, thread: str) -> str:
        reply = self.client.get(f"/t/{thread}")
        assert reply.status_code == 200, reply.text
        return reply.text

    def do(self, thread: str, **form: str) -> httpx.Response:
        return self.client.post(f"/t/{thread}/do", data=form)

    def until(self, thread: str, is_there: str | Callable[[str], bool]) -> str:
        """The page of a thread as soon as it contains a text, or a condition holds."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            page = self.page(thread)
            if is_there in page if isinstance(is_there, str) else is_there(page):
                return page
            time.sleep(0.1)
        raise AssertionError(f"{is_there!r} is not in the page: {page[-5000:]}")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    root = tmp_path_factory.mktemp("web")
    settings = root / "settings.json"
    off = {"mcpServers": {"hf-mcp-server": {"enabled": False}}, "sandbox": {"enabled": False}}
    settings.write_text(json.dumps(off))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_INTERN_HOME", str(root / "home"))
        patch.setenv("ML_INTERN_CLI_CONFIG", str(settings))
        listening = bound_socket("127.0.0.1", 0, "")
        policy = Policy(TOKEN, int(listening.getsockname()[1]))
        server = WebServer(create_app(policy))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        started = Web(root, policy)
        try:
            yield started
        finally:
            started.client.close()
            server.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()
