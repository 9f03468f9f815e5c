"""A bench with a real store, workspace and tools, called one by one as the loop calls them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ml_intern.execution.call import ToolCall, ToolResult
from ml_intern.execution.run import run_call
from ml_intern.execution.tool import Services, ThreadScope, ToolContext, ToolSpec
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import emitter
from ml_intern.models.gateway import Models
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools

# Unique per test process: it is part of the mark of a call's processes, which other workers must not match.
THREAD = f"thread-{uuid4()}"


async def until(done: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for an effect of another process."""
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 another process's file sends no event
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Bench:
    """Calls tools in a thread; each call belongs to a new message unless it names one."""

    store: Store
    workspace: Path
    services: Services
    model: str = "none"
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    calls: int = 0
    file_reads: dict[str, str] = field(default_factory=dict[str, str])

    def context(self, **choices: Any) -> ToolContext:
        options = RunOptions(model=self.model, workspace=str(self.workspace), approval_mode=choices.pop("mode", "auto"))
        return ToolContext(
            thread_id=THREAD,
            root_id=THREAD,
            workspace=self.workspace,
            options=options,
            services=self.services,
            emit=emitter(self.events.append),
            file_reads=self.file_reads,
            **choices,
        )

    def call(self, name: str, args: Mapping[str, Any], message: str = "") -> ToolCall:
        self.calls += 1
        return ToolCall(name, args, f"call_{self.calls}", message or f"msg_{self.calls}", 0)

    async def run(self, name: str, /, **args: Any) -> ToolResult:
        result = await run_call(self.call(name, args), self.context())
        self.file_reads |= result.file_reads
        return result

    def add(self, *specs: ToolSpec) -> None:
        tools = {**self.services.tools, **{spec.name: spec for spec in specs}}
        self.services = replace(self.services, tools=tools)

    def sent(self, type: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["type"] == type]

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened_bench(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def opened_bench(folder: Path) -> AsyncIterator[Bench]:
    """A bench with its workspace and its data below a folder."""
    workspace = folder / "workspace"
    workspace.mkdir()
    async with await Store.open(folder / "home") as store:
        models = Models(store.ledger)
        defaults = RunOptions(model="none", workspace=str(workspace))
        services = Services(models, create_builtin_tools(), store, defaults)
        services.scopes.open(THREAD, ThreadScope())
        yield Bench(store, workspace, services)
        await models.close()
