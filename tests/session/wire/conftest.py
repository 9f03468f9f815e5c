"""A session of the program, opened as the commands open it, and raw clients of its socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_intern.configs.errors import MLInternError
from ml_intern.configs.paths import data_home
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.opening.session import Interface, open_session
from ml_intern.session.protocol import Session
from ml_intern.session.wire import sockets

Open = Callable[..., AbstractAsyncContextManager[Session]]


CLIENTS: "list[Raw]" = []
"""The clients of a test, which are closed at its end."""


class Raw:
    """A client that speaks JSON lines and nothing more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        CLIENTS.append(self)
        self.reader, self.writer = reader, writer
        self.greeting: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []

    async def line(self) -> dict[str, Any]:
        async with asyncio.timeout(60):
            text = await self.reader.readline()
        if not text:
            raise EOFError
        value: dict[str, Any] = json.loads(text)
        return value

    def send(self, **message: Any) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")

    async def ask(self, **message: Any) -> dict[str, Any]:
        """The reply to a request; events that come before it are kept."""
        self.send(**message)
        while True:
            line = await self.line()
            if "id" in line:
                return line
            self.events.append(line)

    async def until(self, *types: str) -> dict[str, Any]:
        """The next event of one of these types."""
        while True:
            line = await self.line()
            self.events.append(line)
            if line.get("event", {}).get("type") in types:
                event: dict[str, Any] = line["event"]
                return event

    def close(self) -> None:
        self.writer.close()


async def attach(thread_id: str, name: str = "web", **more: Any) -> Raw:
    """Connect to an open thread and say who it is."""
    channel = sockets.connect(data_home(), thread_id)
    client = Raw(*await asyncio.open_unix_connection(sock=channel, limit=2**20))
    client.greeting = await client.line()
    client.send(wire=1, name=name, **more)
    return client


@pytest.fixture
def opened(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a session with a script of replies; somebody reads its events all the time."""
    (workspace := tmp_path / "work").mkdir()
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"mcpServers": {"hf-mcp-server": {"enabled": False}}}))
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path_factory.mktemp("h") / "home"))
    monkeypatch.setenv("ML_INTERN_CLI_CONFIG", str(settings))

    @asynccontextmanager
    async def start(
        *steps: dict[str, Any], thread: str | None = None, reads: bool = True, **choices: Any
    ) -> AsyncIterator[Session]:
        script = tmp_path / "script.yaml"
        script.write_text(yaml.safe_dump(list(steps) or [{"text": "done"}]))
        given = {"sandbox": False, "approval_mode": "auto", **choices}
        request = SessionRequest(model=f"scripted:{script}", folder=str(workspace), thread=thread, **given)
        async with open_session(request, Interface(_fail)) as opened:
            reader = asyncio.create_task(_read(opened.session)) if reads else None
            yield opened.session
        if reader is not None:
            await reader

    @asynccontextmanager
    async def start_and_clean(*steps: dict[str, Any], **choices: Any) -> AsyncIterator[Session]:
        try:
            async with start(*steps, **choices) as session:
                yield session
            await asyncio.sleep(0)
        finally:
            while CLIENTS:
                CLIENTS.pop().close()

    return start_and_clean


async def _read(session: Session) -> None:
    async for _ in session.events():
        pass


def _fail(line: str) -> None:
    raise MLInternError(line)
