"""What a session sends to its model, seen from the server: a stable prefix, and history that fits another model."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from ml_intern.graph.operations import Compact, SetEffort, SetGoal, SetModel, UserInput
from tests.fakes.model_server import Call, FakeModelServer, Reply
from tests.session.conftest import Lab, data, turn, until

MODEL = "vllm/thinker"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        monkeypatch.setenv("VLLM_BASE_URL", running.url)
        monkeypatch.setenv("OLLAMA_BASE_URL", running.url)
        yield running


def three_calls(asked: dict[str, Any]) -> Reply:
    done = sum(message["role"] == "tool" for message in asked["messages"])
    call = Call("bash", json.dumps({"command": f"echo {done}"}), f"call_{done}")
    return Reply(reasoning=f"thought {done}", calls=[call]) if done % 4 != 3 else Reply(text="done")


async def test_the_prefix_of_the_requests_of_a_turn_is_the_same_to_the_byte(lab: Lab, server: FakeModelServer) -> None:
    server.default = three_calls
    async with lab.session(MODEL, approval_mode="yolo") as session:
        await turn(session, UserInput("go"))
    bodies = [asked.body for asked in server.asked]
    assert len(bodies) == 4
    assert all(later.startswith(body[:-2]) for body, later in pairwise(bodies))


async def test_through_litellm_tools_and_earlier_messages_are_the_same_to_the_byte(
    lab: Lab, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.url)
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", "sk-not-used")
    server.default = three_calls
    async with lab.session("hosted_vllm/thinker", approval_mode="yolo") as session:
        await turn(session, UserInput("go"))
    assert len({json.dumps(asked.json["tools"]) for asked in server.asked}) == 1
    sent = [json.dumps(asked.json["messages"])[:-1] for asked in server.asked]
    assert len(sent) == 4
    assert all(later.startswith(earlier) for earlier, later in pairwise(sent))


async def test_another_model_gets_the_conversation_without_the_reasoning_of_the_first(
    lab: Lab, server: FakeModelServer
) -> None:
    server.default = three_calls
    async with lab.session(MODEL, approval_mode="yolo") as session:
        await turn(session, UserInput("go"))
        server.models = [{"id": "thinker"}, {"id": "other"}]
        await turn(session, SetModel("ollama/other"), "ready")
        await turn(session, SetEffort("low"), "ready")
        server.default = Reply(text="hello from the other")
        await turn(session, UserInput("and now?"))
    assert "thought 1" in str(server.asked[3].json)
    newest = server.asked[-1].json
    assert (newest["model"], newest["reasoning_effort"]) == ("other", "low")
    assert "thought" not in str(newest["messages"])
    assert sum(message["role"] == "tool" for message in newest["messages"]) == 3


async def test_effort_off_sends_none(lab: Lab, server: FakeModelServer) -> None:
    server.default = Reply(text="hello")
    async with lab.session(MODEL, effort="off") as session:
        await turn(session, UserInput("go"))
        await turn(session, SetEffort("low"), "ready")
        await turn(session, UserInput("go"))
    assert ["reasoning_effort" in asked.json for asked in server.asked] == [False, True]


async def test_a_model_that_calls_no_tools_gets_them_as_text_and_it_is_said(lab: Lab, server: FakeModelServer) -> None:
    server.models = [{"id": "thinker"}, {"id": "talker", "capabilities": {"function_calling": False}}]
    async with lab.session(MODEL, approval_mode="yolo") as session:
        await until(session, "ready")
        events = await turn(session, SetModel("ollama/talker"), "ready")
        [said] = [one for one in data(events, "ready")[0]["notes"] if "tool calling" in one]
        assert said.startswith("ollama/talker does not support tool calling: tools are called by text")
        server.say(Reply(text='I look.\n```tool\n{"name": "bash", "args": {"command": "echo 41 + 1"}}\n```\nDone.'))
        events = await turn(session, UserInput("go"))
    first, second = (asked.json for asked in server.asked)
    assert "tools" not in first
    assert {message["role"] for message in second["messages"]} == {"system", "user", "assistant"}
    assert second["messages"][-2]["content"].startswith('I look.\n```tool\n{"name": "bash"')
    assert "Result of bash:\n" in second["messages"][-1]["content"]
    assert "41 + 1" in second["messages"][-1]["content"]
    assert data(events, "turn_complete")[0]["status"] == "done"
    assert "```" not in "".join(one["text"] for one in data(events, "assistant_chunk"))


async def test_a_model_that_its_server_does_not_list_is_refused_with_similar_names(
    lab: Lab, server: FakeModelServer
) -> None:
    server.models = [{"id": "thinker"}, {"id": "qwen3:latest"}]
    async with lab.session(MODEL) as session:
        [failed] = data(await turn(session, SetModel("ollama/qwen2"), "error"), "error")
        assert failed["message"].endswith("does not list ollama/qwen2; similar names: qwen3:latest")
        assert session.options.model == MODEL
        await turn(session, SetModel("ollama/qwen3"), "ready")
        assert session.options.model == "ollama/qwen3"


async def test_a_model_that_only_summarises_gets_no_tools(lab: Lab, server: FakeModelServer) -> None:
    server.models = [{"id": "talker", "capabilities": {"function_calling": False}}]
    async with lab.session(MODEL, compact_model="ollama/talker") as session:
        events = await turn(session, UserInput("go"))
    assert data(events, "turn_complete")[0]["status"] == "done"


async def test_parameters_of_the_model_go_with_its_own_requests_alone(lab: Lab, server: FakeModelServer) -> None:
    choices: dict[str, Any] = {"compact_model": "ollama/small", "model_params": {"temperature": 0.25}}
    server.default = three_calls
    async with lab.session(MODEL, approval_mode="yolo", **choices) as session:
        for text in ("go", "again"):
            await turn(session, UserInput(text))
        await turn(session, Compact("the numbers"))
    asked = [request.json for request in server.asked]
    assert [one["model"] for one in asked][-1] == "small"
    assert "The user asks you to preserve this: the numbers" in asked[-1]["messages"][0]["content"]
    assert all(("temperature" in one) is (one["model"] == "thinker") for one in asked)


async def test_a_goal_that_is_not_one_is_an_error_and_the_session_stays_open(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "ok"}), verify="quick") as session:
        [failed] = data(await turn(session, SetGoal("be good"), "error"), "error")
        assert "macro F1 >= 0.80" in failed["remedy"]
        await turn(session, SetGoal("exit 0: true"), "ready")
        assert session.options.goal == "exit 0: true"


async def test_a_goal_is_saved_before_the_next_turn(lab: Lab) -> None:
    async with lab.session(lab.script({"text": "ok"}), verify="quick") as session:
        await turn(session, UserInput("hello"))
        await turn(session, SetGoal("exit 0: true"), "ready")
        assert (await session.services.store.threads.options(session.thread_id))["goal"] == "exit 0: true"
