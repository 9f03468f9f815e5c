"""The real server, started as a user starts it, and a client that sends what LangGraph Studio sends."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langgraph_sdk import get_client

from ml_intern.server.studio_process import free_port
from tests.fakes import mcp_bad_server
from tests.session.conftest import Lab

APPROVE = {"decisions": [{"type": "approve"}]}


@dataclass(frozen=True)
class Studio:
    """A server on a lab's home, and requests to it."""

    url: str
    token: str
    lab: Lab
    client: Any = None

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.token}

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Studio"]:
        """The same with a client, which is closed at the end."""
        async with get_client(url=self.url, api_key=self.token) as client:
            yield replace(self, client=client)

    async def thread(self, id: str | None = None) -> str:
        """A new thread, or one that the command line began."""
        made = await self.client.threads.create(thread_id=id, graph_id="agent", if_exists="do_nothing")
        return str(made["thread_id"])

    async def say(self, thread: str, text: str, model: str, **choices: Any) -> dict[str, Any]:
        """A message as Studio sends it, without ids; the state after the run, or {"__error__": ...}."""
        given = {"messages": [{"role": "user", "content": text}]}
        return await self.run(thread, input=given, context={"model": model, "approval_mode": "ask", **choices})

    async def answer(self, thread: str, model: str, resume: Mapping[str, Any] = APPROVE) -> dict[str, Any]:
        """An answer by position, as Studio sends it."""
        return await self.run(thread, command={"resume": resume}, context={"model": model, "approval_mode": "ask"})

    async def run(self, thread: str, **request: Any) -> dict[str, Any]:
        return dict(await self.client.runs.wait(thread, "agent", raise_error=False, **request))

    async def state(self, thread: str) -> dict[str, Any]:
        return dict(await self.client.threads.get_state(thread))


async def until_true(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds, at most half a minute."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110  another process makes it true
            await asyncio.sleep(0.1)


@contextmanager
def started_studio(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", Studio]]:
    """`ml-intern studio` with a home and a workspace in `folder`, and how to reach it."""
    workspace = folder / "workspace"
    workspace.mkdir()
    lab, port = Lab(folder / "home", workspace), free_port(None)
    server = {"command": sys.executable, "args": ["-I", mcp_bad_server.__file__]}
    lab.home.mkdir(mode=0o700, exist_ok=True)
    (lab.home / "cli_agent_config.json").write_text(json.dumps({"mcpServers": {"bad": server}}))
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("ml-intern"),
            "studio",
            "--no-sandbox",
            "--approval-mode",
            "auto",
            "--max-iterations",
            "50",
            "--max-budget-usd",
            "5",
            "--port",
            str(port),
            "-m",
            "ollama/none",
        ],
        cwd=workspace,
        env={**os.environ, "ML_INTERN_HOME": str(lab.home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.readline()
        address = re.search(rf"(http://127\.0\.0\.1:{port})/([\w-]+);", said)
        assert address, said
        yield process, Studio(address[1], address[2], lab)


@contextmanager
def running_studio(folder: Path) -> Iterator[Studio]:
    """The same, ended by Ctrl-C."""
    with started_studio(folder) as (process, studio):
        try:
            yield studio
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
