"""What every fault test works with: a home, a workspace, tools whose effects name their call, the user's record."""

import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import SubagentQuota, ToolArgs, ToolContext, ToolSpec, tool
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.models.gateway import ModelReply, ModelRequest, Models
from ml_intern.session.agent import AgentSession
from ml_intern.store.store import DATABASE_NAME, Store
from ml_intern.tools.registry import create_builtin_tools

LOG = "log"
CHILD_TOOLS = ("read", "bash", "mark")


@dataclass(frozen=True)
class Record:
    """What the user saw and did, a JSON line each, appended at once: the truth that a thread is compared with."""

    path: Path

    def add(self, **entry: Any) -> None:
        """Append an entry; a killed process has written it whole or not at all."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, json.dumps(entry).encode() + b"\n")
        os.close(descriptor)

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first."""
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def all(self, key: str) -> list[Any]:
        """The values of a key, oldest first."""
        return [entry[key] for entry in self.entries() if key in entry]

    def newest(self, key: str, default: Any = None) -> Any:
        """The newest value of a key."""
        return next(reversed(self.all(key)), default)


class MarkArgs(ToolArgs):
    """What to write down."""

    name: str


class AskArgs(ToolArgs):
    """What to find out."""

    question: str


@tool()
async def mark(args: MarkArgs, context: ToolContext) -> str:
    """Leave a line in the log: the effect of bash below, without a process."""
    descriptor = os.open(context.workspace / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{context.mark} {args.name}\n".encode())
    os.close(descriptor)
    return "(no output)\n[exit code 0]"


async def _ask_again(handle: str, args: AskArgs, context: ToolContext) -> ToolResult:
    assert context.spawn is not None
    return await context.spawn(args.question, context, SubagentQuota(CHILD_TOOLS, 20), resume=handle)


@tool(on_resume="reattach", reattach=_ask_again, timeout=None, path_args=())
async def ask(args: AskArgs, context: ToolContext) -> ToolResult:
    """Ask a sub-agent."""
    assert context.spawn is not None
    return await context.spawn(args.question, context, SubagentQuota(CHILD_TOOLS, 20))


TOOLS: Mapping[str, ToolSpec] = {**create_builtin_tools(), "mark": mark, "ask": ask}


def bash_effect(name: str) -> dict[str, Any]:
    """A call of bash that appends its own identity and `name` to the log."""
    return {"name": "bash", "args": {"command": f'echo "$ML_INTERN_CALL {name}" >> {LOG}'}}


def mark_effect(name: str) -> dict[str, Any]:
    """The same, in the process."""
    return {"name": "mark", "args": {"name": name}}


class WatchedModels(Models):
    """Models that look at each request first: every call in it has exactly one result, right behind it."""

    record: Record | None = None

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """One reply; what is wrong with the request goes to the record."""
        if self.record is not None and request.source != "compaction" and (fault := unpaired(request.messages)):
            self.record.add(violation=f"a model call with {fault}")
        return await super().complete(request, emit)


def unpaired(messages: Sequence[AnyMessage]) -> str:
    """What is wrong with calls and results in a conversation, or ""."""
    waiting: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in waiting:
                return f"a result without a call: {message.tool_call_id}"
            waiting.remove(message.tool_call_id)
            continue
        if waiting:
            return f"calls without results: {waiting}"
        waiting = [call["id"] or "" for call in message.tool_calls] if isinstance(message, AIMessage) else []
    return f"calls without results: {waiting}" if waiting else ""


@dataclass(frozen=True)
class FaultLab:
    """A folder with a home, a workspace, a record, and scripts by name."""

    root: Path
    seed: str = ""
    url: str = ""
    """The PostgreSQL database with the threads; "" for the file in the home."""
    tools: Mapping[str, ToolSpec] = field(default_factory=lambda: TOOLS)

    @property
    def home(self) -> Path:
        """The data home."""
        return self.root / "home"

    @property
    def workspace(self) -> Path:
        """The working folder."""
        return self.root / "workspace"

    @property
    def record(self) -> Record:
        """What the user saw and did."""
        return Record(self.root / "record.jsonl")

    def prepare(self, files: Mapping[str, str], scripts: Mapping[str, Sequence[Mapping[str, Any]]]) -> "FaultLab":
        """Write the workspace's files and the scripts."""
        self.workspace.mkdir(parents=True)
        # What ran stays in the log when an undo takes files back.
        for name, text in {".gitignore": LOG, **files}.items():
            (self.workspace / name).write_text(text)
        for name, steps in scripts.items():
            (self.root / f"{name}.yaml").write_text(yaml.safe_dump(list(steps)))
        return self

    async def store(self) -> Store:
        """The lab's store, opened."""
        return await Store.open(self.home, url=self.url)

    def rows(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """What the queries find in the lab's database."""
        if self.url:
            import psycopg

            with psycopg.connect(self.url, options="-c search_path=ml_intern") as server:
                return [server.execute(query.encode()).fetchall() for query in queries]
        with closing(sqlite3.connect(self.home / DATABASE_NAME)) as connection:
            return [connection.execute(query).fetchall() for query in queries]

    def await_release(self) -> None:
        """Wait until the server has noticed that the process of the lab's thread is gone."""
        others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while self.url and self.rows(others) != [[]]:
            time.sleep(0.02)

    def model(self, name: str) -> str:
        """The id of the model that plays the script `name`."""
        return f"scripted:{self.root / f'{name}.yaml'}"

    def effects(self) -> list[str]:
        """The lines of the log."""
        log = self.workspace / LOG
        return log.read_text().splitlines() if log.exists() else []

    @asynccontextmanager
    async def session(self, thread: str | None, **choices: Any) -> AsyncIterator[AgentSession]:
        """A session on the lab's thread, or on a new one."""
        given = {"model": self.model("main"), "workspace": str(self.workspace), "approval_mode": "auto", **choices}
        async with await self.store() as store:
            models = WatchedModels(store.ledger)
            models.record = self.record
            session = await AgentSession.open(store, models, self.tools, RunOptions(**given), thread=thread)
            try:
                yield session
            finally:
                await session.close()
                await models.close()
