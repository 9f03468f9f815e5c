"""`ml-intern acp` as an editor starts it, and the client of the protocol's package."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import acp
import pytest
from acp.client.connection import ClientSideConnection
from acp.schema import AllowedOutcome, DeniedOutcome, PermissionOption, RequestPermissionResponse, ToolCallUpdate

from tests.commands.program import Program

SECONDS = 120.0


@dataclass
class Editor:
    """Keeps what the agent sends, and answers permissions from a list; without an answer it cancels."""

    answers: list[str] = field(default_factory=list[str])
    updates: list[Any] = field(default_factory=list[Any])
    asked: list[tuple[ToolCallUpdate, list[PermissionOption]]] = field(default_factory=list[Any])
    on_update: Callable[[Any], None] = lambda _: None

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append(update)
        self.on_update(update)

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption], **_: Any
    ) -> RequestPermissionResponse:
        self.asked.append((tool_call, options))
        if not self.answers:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        kind = self.answers.pop(0)
        chosen = next(option.option_id for option in options if option.kind == kind)
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=chosen))

    def text(self, kind: str) -> str:
        """The text of all updates of one kind."""
        return "".join(one.content.text for one in self.updates if one.session_update == kind)

    def of(self, kind: str) -> list[Any]:
        return [one for one in self.updates if one.session_update == kind]

    def statuses(self, id: str) -> list[str]:
        """The states of a call, in order."""
        found = [one.status for one in self.updates if getattr(one, "tool_call_id", "") == id and one.status]
        return list(dict.fromkeys(found))


@dataclass
class Agents:
    """Starts agents on one home and one folder."""

    program: Program

    @asynccontextmanager
    async def started(self, editor: Editor, *options: str) -> AsyncIterator[ClientSideConnection]:
        argv = ["-m", "ml_intern", "acp", "--no-sandbox", *options]
        running = acp.spawn_agent_process(
            editor,  # type: ignore[arg-type]  # a client needs no files and no terminals
            sys.executable,
            *argv,
            env=self.program.environment,
            cwd=self.program.folder,
            use_unstable_protocol=True,
        )
        async with asyncio.timeout(SECONDS), running as (agent, _):
            await agent.initialize(acp.PROTOCOL_VERSION, client_info=acp.schema.Implementation(name="Ed", version="1"))
            yield agent

    @property
    def folder(self) -> Path:
        return self.program.folder


@pytest.fixture
def agents(tmp_path: Path) -> Agents:
    return Agents(Program(tmp_path))
