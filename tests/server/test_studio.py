"""LangGraph Studio and the command line on the same threads, over the real server."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ml_intern.configs.errors import ThreadLocked
from ml_intern.graph.operations import ExecApproval, Redo, Undo, UserInput
from ml_intern.store.store import Store
from tests.server.studio import Studio, running_studio, started_studio, until_true
from tests.session.conftest import bash, data, turn, until

pytest.importorskip("langgraph_api", reason="needs the extra [studio]: uv sync --extra studio")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running_studio(tmp_path_factory.mktemp("studio")) as started:
        yield started


@pytest.fixture
async def studio(server: Studio) -> AsyncIterator[Studio]:
    async with server.connected() as connected:
        yield connected


def texts(values: dict[str, Any]) -> list[str]:
    return [message["content"] for message in values["messages"]]


async def test_an_approval_asked_for_in_the_command_line_is_given_in_studio_and_the_other_way_round(
    studio: Studio,
) -> None:
    lab, log = studio.lab, studio.lab.workspace / "both"
    model = lab.script(
        {"tool_calls": [bash("echo one >> both")]}, {"text": "A"}, {"tool_calls": [bash("echo two >> both")]},
        {"text": "B"},
    )  # fmt: skip
    async with lab.session(model, approval_mode="ask") as session:
        await turn(session, UserInput("first"), "approval_required")
        thread = await studio.thread(session.thread_id)
    [waiting] = (await studio.state(thread))["interrupts"]
    assert [request["name"] for request in waiting["value"]["action_requests"]] == ["bash"]
    assert not log.exists()
    assert texts(await studio.answer(thread, model))[-1] == "A"
    assert log.read_text() == "one\n"
    assert "__interrupt__" in await studio.say(thread, "second", model)
    async with lab.session(model, approval_mode="ask", thread=thread) as session:
        [asked] = data(await until(session, "approval_required"), "approval_required")
        events = await turn(session, ExecApproval({asked["requests"][0]["id"]: {"type": "approve"}}))
        assert data(events, "turn_complete") == [{"turn": 2, "status": "done", "text": "B", "iterations": 2}]
    assert log.read_text() == "one\ntwo\n"
    assert texts((await studio.state(thread))["values"])[-1] == "B"


async def test_turns_of_studio_are_undone_and_redone_in_the_command_line_files_included(studio: Studio) -> None:
    lab, file = studio.lab, studio.lab.workspace / "undone"
    model = lab.script({"tool_calls": [bash("echo new > undone")]}, {"text": "A"}, {"text": "B"})
    file.write_text("old\n")
    thread = await studio.thread()
    await studio.say(thread, "change it", model, approval_mode="auto")
    await studio.say(thread, "and on", model)
    assert file.read_text() == "new\n"
    async with lab.session(model, thread=thread) as session:
        [undone] = data(await turn(session, Undo(turns=2)), "undo_complete")
        assert (undone["turns"], undone["text"], file.read_text()) == (2, "change it", "old\n")
        assert await session.messages() == []
        await turn(session, Redo())
        assert [m.text for m in await session.messages()][-1] == "B"
    assert file.read_text() == "new\n"


async def test_each_message_in_studio_has_the_whole_limit_of_model_calls(studio: Studio) -> None:
    model = studio.lab.script(*({"tool_calls": [bash("true")]}, {"text": "done"}) * 3)
    thread = await studio.thread()
    for number in (1, 2, 3):
        values = await studio.say(thread, f"message {number}", model, approval_mode="auto", max_iterations=2)
        assert (values["turn"], values["iteration"], values["outcome"]["status"]) == (number, 2, "done")


async def test_tools_of_mcp_servers_are_asked_about_in_studio_as_elsewhere(studio: Studio) -> None:
    calls = [{"name": "mcp__bad__echo", "args": {"text": "over there"}}]
    model, thread = (
        studio.lab.script({"tool_calls": calls}, {"text": "A", "expect": "over there"}),
        await studio.thread(),
    )
    asked = await studio.say(thread, "go", model)
    assert "__interrupt__" in asked, texts((await studio.state(thread))["values"])
    assert texts(await studio.answer(thread, model))[-1] == "A"


async def test_a_message_in_studio_while_an_approval_waits_closes_it_first(studio: Studio) -> None:
    model = studio.lab.script({"tool_calls": [bash("touch superseded")]}, {"text": "instead"})
    thread = await studio.thread()
    await studio.say(thread, "go", model)
    values = await studio.say(thread, "something else", model)
    assert [message["type"] for message in values["messages"]] == ["human", "ai", "tool", "human", "ai"]
    assert "superseded" in texts(values)[2]
    assert not (studio.lab.workspace / "superseded").exists()


async def test_a_thread_that_the_command_line_holds_is_not_touched_by_studio(studio: Studio) -> None:
    model = studio.lab.script({"text": "A"}, {"tool_calls": [bash("touch locked-out")]})
    async with studio.lab.session(model) as session:
        await turn(session, UserInput("mine"))
        thread = await studio.thread(session.thread_id)
        refused = (await studio.say(thread, "let me", model, approval_mode="auto"))["__error__"]["message"]
        assert refused.startswith(f"thread {thread} is in use by process")
        with pytest.raises(Exception, match="is in use by process"):
            await studio.client.threads.update_state(thread, {"plan": []})
        with pytest.raises(Exception, match="is in use by process"):
            await studio.client.threads.delete(thread)
        assert [m.text for m in await session.messages()] == ["mine", "A"]
    assert not (studio.lab.workspace / "locked-out").exists()


async def test_a_run_in_studio_locks_the_command_line_out_until_it_is_cancelled(studio: Studio) -> None:
    lab, begun = studio.lab, studio.lab.workspace / "begun"
    model = lab.script({"tool_calls": [bash("touch begun; sleep 60; touch late")]}, {"text": "A"})
    thread, client = await studio.thread(), studio.client
    given = {"messages": [{"role": "user", "content": "wait"}]}
    run = await client.runs.create(thread, "agent", input=given, context={"model": model, "approval_mode": "auto"})
    await until_true(lambda: asyncio.to_thread(begun.exists))
    with pytest.raises(ThreadLocked) as locked:
        async with lab.session(model, thread=thread):
            pass
    assert locked.value.exit_code == 75
    await client.runs.cancel(thread, run["run_id"], wait=True)
    async with lab.session(model, thread=thread) as session:
        assert data(await until(session, "resumed"), "resumed")[0]["pending"] == ""
        assert "interrupted by the user" in (await session.messages())[-1].text
        events = await turn(session, UserInput("go on"))
    assert data(events, "turn_complete")[0]["text"] == "A"
    assert not (lab.workspace / "late").exists()


async def test_threads_are_listed_and_deleted_on_both_sides(studio: Studio) -> None:
    lab = studio.lab
    model = lab.script({"text": "A"})
    made = await studio.thread()
    await studio.say(made, "made in Studio", model)
    async with lab.session(model) as session:
        await turn(session, UserInput("made here"))
        here = session.thread_id
    async with await Store.open(lab.home) as store:
        row = await store.threads.find(made)
        assert (row.title, row.turns, row.state, row.folder) == ("made in Studio", 1, "idle", str(lab.workspace))
        await studio.client.threads.delete(made)
        assert await store.threads.get(made) is None

    async def is_listed() -> bool:
        return here in [thread["thread_id"] for thread in await studio.client.threads.search(limit=100)]

    await until_true(is_listed)


async def test_what_studio_cannot_ask_for_is_one_line(studio: Studio) -> None:
    model = studio.lab.script({"text": "A"})
    thread = await studio.thread()
    requests: list[tuple[dict[str, Any], str]] = [
        ({"command": {"resume": {"decisions": []}}}, "has no pending approvals"),
        ({"command": {"goto": "execute_tools"}}, "a message or an answer"),
        ({"input": {"messages": [{"role": "assistant", "content": "I may"}]}}, "a text message of the user"),
        ({"input": {"messages": [], "decisions": {"call": {"type": "approve"}}}}, "a text message of the user"),
        ({"context": {"model": model, "approval_mode": "none"}, "input": {"messages": "hi"}}, "approval_mode"),
        ({"context": {"model": "anthropic/none"}, "input": {"messages": "hi"}}, "ANTHROPIC_API_KEY"),
    ]
    for request, words in requests:
        found = (await studio.run(thread, **{"context": {"model": model}, **request}))["__error__"]
        assert (found["error"], words in found["message"], "\n" in found["message"]) == ("RunFailed", True, False), (
            found
        )


def test_the_servers_files_are_for_the_owner_alone(server: Studio) -> None:
    [log] = (server.lab.home / "logs").glob("studio-*.log")
    [folder] = (server.lab.home / "studio").iterdir()
    modes = [path.stat().st_mode & 0o777 for path in (log, log.parent, folder)]
    assert modes == [0o600, 0o700, 0o700]


def test_the_server_ends_with_the_command_that_started_it_even_when_that_is_killed(tmp_path: Path) -> None:
    with started_studio(tmp_path) as (process, studio):
        assert httpx.get(studio.url + "/ok", headers=studio.headers).is_success
        process.kill()
        process.wait()
        for _ in range(300):
            if not answers(studio):
                return
            time.sleep(0.1)
        raise AssertionError("the server outlived its command by 30 seconds")


def answers(studio: Studio) -> bool:
    try:
        return httpx.get(studio.url + "/ok", headers=studio.headers, timeout=1).is_success
    except httpx.TransportError:
        return False
