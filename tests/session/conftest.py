"""A lab: a real store, real tools in a temporary folder, and the scripted model."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_intern.execution.tool import ToolSpec
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Event
from ml_intern.graph.operations import Operation
from ml_intern.models.gateway import Models
from ml_intern.session.agent import AgentSession
from ml_intern.store.store import MakeSaver, Store
from ml_intern.tools.registry import create_builtin_tools

CLOSING = ("turn_complete", "approval_required", "interrupted", "undo_complete")


@dataclass
class Lab:
    """Opens sessions on one home and one workspace; scripts are lists of steps."""

    home: Path
    workspace: Path
    tools: Mapping[str, ToolSpec] = field(default_factory=create_builtin_tools)
    scripts: int = 0
    make_saver: MakeSaver | None = None
    url: str = ""
    """The PostgreSQL database with the threads; "" for the file in the home."""

    def script(self, *steps: dict[str, Any]) -> str:
        """A model id that plays these steps."""
        self.scripts += 1
        path = self.home.parent / f"script{self.scripts}.yaml"
        path.write_text(yaml.safe_dump(list(steps)))
        return f"scripted:{path}"

    def options(self, model: str, **choices: Any) -> RunOptions:
        return RunOptions(**{"model": model, "workspace": str(self.workspace), "approval_mode": "auto", **choices})

    @asynccontextmanager
    async def session(
        self, model: str, *, thread: str | None = None, fork: bool = False, **choices: Any
    ) -> AsyncIterator[AgentSession]:
        async with await Store.open(self.home, self.make_saver, self.url) as store:
            models = Models(store.ledger)
            try:
                session = await AgentSession.open(
                    store, models, self.tools, self.options(model, **choices), thread=thread, fork=fork
                )
                try:
                    yield session
                finally:
                    await session.close()
            finally:
                await models.close()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return Lab(tmp_path / "home", workspace)


async def until(session: AgentSession, *types: str) -> list[Event]:
    """The events up to the first of these types."""
    seen: list[Event] = []
    async with asyncio.timeout(240):
        async for event in session.events():
            seen.append(event)
            if event.type in types:
                return seen
    raise AssertionError(f"the session ended without {types}: {[event.type for event in seen]}")


async def turn(session: AgentSession, operation: Operation, *types: str) -> list[Event]:
    """Hand in an operation and collect the events until the turn is closed."""
    await session.submit(operation)
    return await until(session, *(types or CLOSING))


def data(events: list[Event], type: str) -> list[dict[str, Any]]:
    """The data of the events of one type."""
    return [event.data for event in events if event.type == type]


def bash(command: str) -> dict[str, Any]:
    return {"name": "bash", "args": {"command": command}}


def launch(command: str) -> dict[str, Any]:
    """A reply that starts a background run."""
    return {"tool_calls": [{"name": "bash", "args": {"command": command, "background": True}}]}
