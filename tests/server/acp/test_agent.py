"""What an editor can do with `ml-intern acp`, over the standard streams."""

import asyncio
import base64
import sys
from typing import Any

import acp
import pytest
from acp.schema import EnvVariable, McpServerStdio

from ml_intern.cli import main
from tests.server.acp.editor import Agents, Editor, agents
from tests.session.conftest import bash

__all__ = ["agents"]
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()
SERVER = "from mcp.server.fastmcp import FastMCP as F; s = F('s'); s.tool(name='shout')(lambda: 'LOUD'); s.run()"


def write(path: str, content: str) -> dict[str, Any]:
    return {"name": "write", "args": {"path": path, "content": content}}


def words(text: str) -> list[Any]:
    return [acp.text_block(text)]


async def test_a_turn_streams_text_thinking_plan_and_calls_and_asks_with_a_diff(agents: Agents) -> None:
    plan = {"name": "plan", "args": {"steps": [{"text": "write it", "status": "done"}]}}
    model = agents.program.script(
        {"reasoning": "hm", "text": "first", "tool_calls": [plan]},
        {"tool_calls": [write("new.txt", "one\n"), write("other.txt", "two\n")]},
        {"text": "finished"},
    )
    editor = Editor(["allow_once", "reject_once"])
    async with agents.started(editor, "-m", model) as agent:
        session = await agent.new_session(str(agents.folder))
        reply = await agent.prompt(session.session_id, words("go"))
        assert reply.stop_reason == "end_turn"
        assert session.modes
        assert session.modes.current_mode_id == "ask"
        assert {mode.id for mode in session.modes.available_modes} >= {"ask", "accept-edits", "plan"}
    assert editor.text("agent_message_chunk") == "firstfinished"
    assert "hm" in editor.text("agent_thought_chunk")
    assert [(one.content, one.status) for one in editor.of("plan")[0].entries] == [("write it", "completed")]
    (first, options), (second, _) = editor.asked
    [diff] = [one for one in first.content or () if one.type == "diff"]
    assert (diff.path, diff.old_text, diff.new_text) == (str(agents.folder / "new.txt"), None, "one\n")
    assert first.locations
    assert first.locations[0].path == str(agents.folder / "new.txt")
    assert {option.kind for option in options} >= {"allow_once", "reject_once"}
    assert editor.statuses(first.tool_call_id) == ["pending", "in_progress", "completed"]
    assert editor.statuses(second.tool_call_id) == ["pending", "failed"]
    assert (agents.folder / "new.txt").read_text() == "one\n"
    assert not (agents.folder / "other.txt").exists()


async def test_an_answer_for_the_folder_is_not_asked_again(agents: Agents) -> None:
    model = agents.program.script(
        {"tool_calls": [bash("touch a")]}, {"tool_calls": [bash("touch a")]}, {"text": "finished"}
    )
    editor = Editor(["allow_always"])
    async with agents.started(editor, "-m", model) as agent:
        session = await agent.new_session(str(agents.folder))
        await agent.prompt(session.session_id, words("go"))
    assert len(editor.asked) == 1
    assert editor.text("agent_message_chunk") == "finished"


async def test_a_mode_decides_what_is_asked(agents: Agents) -> None:
    model = agents.program.script({"tool_calls": [write("new.txt", "one\n")]}, {"text": "finished"})
    editor = Editor()
    async with agents.started(editor, "-m", model) as agent:
        session = await agent.new_session(str(agents.folder))
        await agent.set_session_mode(session.session_id, "accept-edits")
        with pytest.raises(acp.RequestError, match="no mode"):
            await agent.set_session_mode(session.session_id, "reckless")
        await agent.prompt(session.session_id, words("go"))
    assert not editor.asked
    assert (agents.folder / "new.txt").exists()


async def test_a_turn_can_be_cancelled_while_a_command_runs_and_at_a_question(agents: Agents) -> None:
    model = agents.program.script(
        {"tool_calls": [bash("touch running; sleep 600")]}, {"tool_calls": [bash("touch never")]}, {"text": "never"}
    )
    editor, running = Editor(["allow_once"]), asyncio.Event()
    editor.on_update = lambda one: running.set() if getattr(one, "status", "") == "in_progress" else None
    async with agents.started(editor, "-m", model) as agent:
        session = await agent.new_session(str(agents.folder))
        turn = asyncio.create_task(agent.prompt(session.session_id, words("go")))
        await running.wait()
        await agent.cancel(session.session_id)
        assert (await turn).stop_reason == "cancelled"
        assert (await agent.prompt(session.session_id, words("again"))).stop_reason == "cancelled"
    assert len(editor.asked) == 2
    assert not (agents.folder / "never").exists()


async def test_a_thread_is_listed_loaded_with_its_messages_resumed_and_copied(agents: Agents) -> None:
    model = agents.program.script(
        {"tool_calls": [write("new.txt", "one\n")]}, {"text": "first"}, {"text": "second"}, {"text": "third"}
    )
    async with agents.started(Editor(["allow_once"]), "-m", model) as agent:
        id = (await agent.new_session(str(agents.folder))).session_id
        await agent.prompt(id, words("remember me"))
        await agent.close_session(id)
        with pytest.raises(acp.RequestError, match="no session"):
            await agent.prompt(id, words("go"))
    editor = Editor()
    async with agents.started(editor, "-m", model) as agent:
        [listed] = (await agent.list_sessions(cwd=str(agents.folder))).sessions
        assert listed.session_id == id
        await agent.load_session(str(agents.folder), id)
        assert (editor.text("user_message_chunk"), editor.text("agent_message_chunk")) == ("remember me", "first")
        assert [one.title for one in editor.of("tool_call")] == ["write new.txt"]
        assert editor.of("tool_call_update")[-1].status == "completed"
        await agent.prompt(id, words("go on"))
        copy = (await agent.fork_session(id, str(agents.folder))).session_id
        assert copy != id
        editor.updates.clear()
        await agent.resume_session(copy, str(agents.folder))
        await agent.prompt(copy, words("further"))
        assert not editor.text("user_message_chunk")
    assert "third" in editor.text("agent_message_chunk")


async def test_images_links_and_the_servers_of_the_editor_reach_the_model(agents: Agents) -> None:
    (agents.folder / "data.csv").write_text("a,b\n1,2\n")
    call = {"name": "mcp__s__shout", "args": {}}
    model = agents.program.script({"tool_calls": [call]}, {"text": "finished"})
    server = McpServerStdio(
        name="s", command=sys.executable, args=["-c", SERVER], env=[EnvVariable(name="KEY", value="v")]
    )
    editor = Editor(["allow_once"])
    prompt: list[Any] = [
        acp.text_block("look at"),
        acp.resource_link_block("data.csv", (agents.folder / "data.csv").as_uri()),
        acp.resource_block(acp.embedded_text_resource("https://example.org/x", "from outside")),
        acp.image_block(PIXEL, "image/png"),
    ]
    async with agents.started(editor, "-m", model) as agent:
        id = (await agent.new_session(str(agents.folder), mcp_servers=[server])).session_id
        assert (await agent.prompt(id, prompt)).stop_reason == "end_turn"
        with pytest.raises(acp.RequestError, match="empty"):
            await agent.prompt(id, words(" "))
    assert any("LOUD" in str(one.content) for one in editor.of("tool_call_update") if one.status == "completed")
    editor.updates.clear()
    async with agents.started(editor, "-m", model) as agent:
        await agent.load_session(str(agents.folder), id)
    said = editor.text("user_message_chunk")
    assert "a,b\n1,2" in said
    assert "from outside" in said
    exported = agents.program.run("threads", "export", id, "--format", "openai").stdout
    assert f"data:image/png;base64,{PIXEL}" in exported


async def test_problems_are_errors_with_a_remedy(agents: Agents) -> None:
    async with agents.started(Editor(), "-m", agents.program.script({"error": "bad_request"})) as agent:
        with pytest.raises(acp.RequestError, match="does not exist"):
            await agent.new_session(str(agents.folder / "missing"))
        id = (await agent.new_session(str(agents.folder))).session_id
        with pytest.raises(acp.RequestError) as failed:
            await agent.prompt(id, words("go"))
        assert isinstance(failed.value.data, dict)
        assert failed.value.data["exit_code"] == 1
        for unknown in ("no-such-thread", id[:8]):
            with pytest.raises(acp.RequestError, match="there is no thread") as missing:
                await agent.load_session(str(agents.folder), unknown)
            assert missing.value.code == -32002


def test_a_person_at_a_terminal_is_told_what_the_command_is_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert main(["acp"]) == 2
    assert "an editor starts this command" in capsys.readouterr().err
