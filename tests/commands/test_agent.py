"""`from ml_intern import Agent`: turns, approvals, typed answers, interrupts, forks. Real child processes."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field

from ml_intern import Agent, AgentError, SyncAgent, Tool
from ml_intern.agent import ApprovalRequest
from tests.session.conftest import bash

STEPS: list[dict[str, Any]] = [
    {"tool_calls": [bash("echo one > one"), bash("echo two > two")]},
    {"text": "hello"},
    {"text": '{"loss": "low"}'},
    {"text": '```json\n{"loss": 0.5}\n```'},
    {"tool_calls": [bash("sleep 600")]},
]


class Report(BaseModel):
    loss: float


@pytest.fixture
def choices(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"mcpServers": {"hf-mcp-server": {"enabled": False}}}))
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path_factory.mktemp("h") / "home"))
    monkeypatch.setenv("ML_INTERN_CLI_CONFIG", str(settings))
    (script := tmp_path / "script.yaml").write_text(yaml.safe_dump(STEPS))
    (work := tmp_path / "work").mkdir()
    return {"cwd": str(work), "model": f"scripted:{script}"}


async def test_a_conversation_with_approvals_typed_answers_an_interrupt_and_a_fork(choices: Any) -> None:
    asked: list[ApprovalRequest] = []

    async def approve(request: ApprovalRequest) -> bool | str:
        asked.append(request)
        return True if "one" in request.args["command"] else "not that"

    async with Agent("--no-sandbox", approval=approve, **choices) as agent:
        events = [event async for event in agent.run("go")]
        assert agent.last is not None
        assert (agent.last.status, agent.last.text) == ("done", "hello")
        assert [request.name for request in asked] == ["bash", "bash"]
        assert [path.name for path in Path(choices["cwd"]).iterdir()] == ["one"]
        assert [event.data["by"] for event in events if event.type == "approval_answered"] == ["python"]
        assert "not that" in [event.data["text"] for event in events if event.type == "tool_output"][-1]
        assert (await agent.ask("report", Report)).value == Report(loss=0.5)
        assert (await agent.cost()).requests == 4
        async for event in agent.run("train"):
            if event.type == "approval_required":
                await agent.interrupt()
        first = agent.thread_id
        assert await agent.fork() == agent.thread_id != first
        with pytest.raises(AgentError, match="unknown operation"):
            await agent.submit("nothing")


def test_a_program_without_asyncio_and_a_thread_that_is_resumed(choices: Any) -> None:
    with SyncAgent("--no-sandbox", **choices) as agent:
        types = [event.type for event in agent.run("go")]
        assert types[-1] == "turn_complete"
        assert agent.ask("report", Report).value == Report(loss=0.5)
        thread = agent.thread_id
    with SyncAgent("--no-sandbox", resume=thread[:8], cwd=choices["cwd"]) as agent:
        assert agent.thread_id == thread
        assert agent.cost().requests == 4
    with pytest.raises(AgentError, match="there is no thread 'nothing'") as raised, SyncAgent(resume="nothing"):
        pass
    assert raised.value.exit_code == 2


def lookup(key: Annotated[str, Field(description="the key")], times: int = 1) -> Report:
    """Look up a number."""
    if key == "none":
        raise KeyError(key)
    return Report(loss=times)


async def wait() -> None:
    """Wait for the user."""
    await asyncio.sleep(600)


async def test_the_model_calls_functions_of_the_program(choices: Any, caplog: pytest.LogCaptureFixture) -> None:
    calls = [("lookup", {"key": "a", "times": 2}), ("lookup", {"key": "none"}), ("wait", {})]
    reply: dict[str, Any] = {"tool_calls": [{"name": name, "args": args} for name, args in calls]}
    Path(choices["model"].removeprefix("scripted:")).write_text(yaml.safe_dump([reply, {"text": "done"}]))
    async with Agent("--no-sandbox", tools=[lookup, Tool(wait, timeout_s=0.1, read_only=True)], **choices) as agent:
        events = [event async for event in agent.run("go")]
        assert [event.data["text"] for event in events if event.type == "tool_output"] == [
            '{"loss":2.0}',
            "error: KeyError: 'none'",
            "error: timed out after 0.1 s and was stopped; it may have run in part",
        ]
        [found] = [tool for tool in await agent.get("tools") if tool["name"] == "lookup"]
        assert found["description"] == "Look up a number."
        assert found["parameters"]["properties"]["key"]["description"] == "the key"
        assert agent.last is not None
        assert agent.last.text == "done"
    assert "the tool lookup failed" in caplog.text


def test_a_function_that_cannot_be_a_tool_is_an_error_of_the_program() -> None:
    def bare(key: str) -> str:
        return key

    def untyped(key):  # type: ignore[no-untyped-def]
        """Take anything."""

    for function in (bare, untyped, lambda *args: args):
        with pytest.raises(TypeError):
            Agent(tools=[function])


def test_the_program_that_uses_it_imports_nothing_else() -> None:
    code = "import sys; from ml_intern import Agent; print(*sorted(name for name in sys.modules if '_intern.' in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = "agent functions session session.wire session.wire.children session.wire.lines session.wire.link"
    assert done.stdout.split() == [f"ml_intern.{name}" for name in own.split()]
