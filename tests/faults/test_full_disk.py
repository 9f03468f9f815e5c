"""Artifact files and the log of faults can fail as the database can: each is one line, and the thread goes on."""

from pathlib import Path

import pytest

from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.graph.operations import UserInput
from ml_intern.models.gateway import ModelReply, ModelRequest, Models
from ml_intern.session.agent import AgentSession
from ml_intern.store.store import Store
from tests.session.conftest import Lab, data, turn, until


@tool(read_only=True)
async def long(args: ToolArgs, context: ToolContext) -> str:
    """Give a long text."""
    return "word " * 10_000


@tool(read_only=True)
async def faulty(args: ToolArgs, context: ToolContext) -> str:
    """Fail in a way nobody foresaw."""
    raise RuntimeError("unforeseen")


def call(name: str) -> dict[str, object]:
    return {"name": name, "args": {}}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    lab = Lab(tmp_path / "home", workspace)
    return Lab(lab.home, workspace, {**lab.tools, "long": long, "faulty": faulty})


def block(lab: Lab, name: str) -> Path:
    """Put a file where a folder has to be: nothing can be written there."""
    lab.home.mkdir(mode=0o700, exist_ok=True)
    (lab.home / name).touch()
    return lab.home / name


async def test_a_result_whose_whole_cannot_be_kept_is_still_given(lab: Lab) -> None:
    block(lab, "artifacts")
    model = lab.script({"tool_calls": [call("long")]}, {"text": "read", "expect": "they could not be saved"})
    async with lab.session(model) as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["text"] == "read"
    [output] = data(events, "tool_output")
    assert (output["ok"], output["artifact"]) == (True, None)


async def test_a_compaction_that_cannot_keep_the_whole_changes_nothing_and_is_tried_again(lab: Lab) -> None:
    blocked = block(lab, "artifacts")
    steps = ({"tool_calls": [call("long")]}, {"tool_calls": [call("long")]}, {"text": "done"}, {"summary": "Notes."})
    model = lab.script(*steps)
    async with lab.session(model, compact_threshold=9_000, tool_names=("long",)) as session:
        events = await turn(session, UserInput("go"))
        [error] = data(events, "error")
        assert (error["exit_code"], "\n" in error["message"], bool(error["remedy"])) == (78, False, True)
        assert data(events, "turn_complete")[0]["status"] == "failed"
        thread, before = session.thread_id, len(await session.messages())
    blocked.unlink()
    async with lab.session(model, compact_threshold=9_000, tool_names=("long",), thread=thread) as session:
        assert len(await session.messages()) >= before
        events = await until(session, "turn_complete")
        assert data(events, "turn_complete")[0]["text"] == "done"
        assert data(events, "compacted")


async def test_a_fault_of_a_tool_that_cannot_be_logged_is_told_and_the_turn_goes_on(lab: Lab) -> None:
    block(lab, "logs")
    model = lab.script({"tool_calls": [call("faulty")]}, {"text": "I see", "expect": "unforeseen"})
    async with lab.session(model) as session:
        assert data(await turn(session, UserInput("go")), "turn_complete")[0]["text"] == "I see"


class Broken(Models):
    """Models with a mistake in them."""

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        raise RuntimeError("unforeseen")


async def test_a_fault_of_the_loop_that_cannot_be_logged_is_one_line_and_the_session_lives(lab: Lab) -> None:
    block(lab, "logs")
    options = RunOptions(model=lab.script({"text": "never"}), workspace=str(lab.workspace))
    async with await Store.open(lab.home) as store:
        session = await AgentSession.open(store, Broken(store.ledger), lab.tools, options)
        for message in ("one", "two"):
            events = await turn(session, UserInput(message))
            [error] = data(events, "error")
            assert "unforeseen" in error["message"]
            assert "could not be written" in error["remedy"]
        await session.close()
    healthy = lab.script({"text": "well"})
    async with lab.session(healthy, thread=session.thread_id) as again:
        events = await until(again, "turn_complete")
        assert [m.text for m in await again.messages()] == ["one", "two", "well"]
