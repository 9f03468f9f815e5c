"""The graph as LangGraph's server runs it, without the server: turns, branches, runs that are tried again."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from langgraph.types import Command
from starlette.exceptions import HTTPException

from ml_intern.configs.errors import UsageError
from ml_intern.models.routing import Endpoint
from ml_intern.server.inputs import EXAMPLE, check_not_weaker, given_choices, users_text
from ml_intern.server.options import OVERWRITTEN, VARIABLE, ServedOptions
from ml_intern.server.serving import RunFailed, Serving, StudioGraph, studio_graph
from ml_intern.server.studio import graph
from ml_intern.session.served_graph import check_models
from tests.fakes.model_server import FakeModelServer
from tests.session.conftest import Lab, bash

THREAD = "0192f0c0-0000-7000-8000-000000000001"


@dataclass(frozen=True)
class Served:
    """The graph as the server has it for one request after another."""

    app: StudioGraph

    async def run(self, given: Any, *, at: str = "", attempt: int = 1, **context: Any) -> list[str]:
        """One run; the texts of the conversation after it."""
        where = {"thread_id": THREAD, **({"checkpoint_id": at} if at else {})}
        config: Any = {"configurable": where, "metadata": {"run_attempt": attempt}}
        async with aclosing(self.app.astream(given, config, context=context, stream_mode="updates")) as stream:
            async for _ in stream:
                pass
        return await self.texts()

    async def texts(self) -> list[str]:
        return [message.text for message in (await self.state()).values.get("messages", [])]

    async def state(self) -> Any:
        return await self.app.aget_state({"configurable": {"thread_id": THREAD}})

    async def head(self) -> str:
        return str((await self.state()).config["configurable"]["checkpoint_id"])


@asynccontextmanager
async def serving(
    lab: Lab, model: str, patch: pytest.MonkeyPatch, endpoint: Endpoint | None = None, **choices: Any
) -> AsyncIterator[Served]:
    """What the server does at its start and for a request."""
    patch.setenv("ML_INTERN_HOME", str(lab.home))
    patch.setenv(VARIABLE, ServedOptions(lab.options(model, **choices), endpoint).as_text())
    serving = Serving()
    async with serving.checkpointer() as saver:
        yield Served(studio_graph(serving).copy({"checkpointer": saver}))


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def test_the_exported_graph_is_whole_without_a_checkpointer() -> None:
    assert graph.checkpointer is None
    assert {"call_model", "doom_check", "approval_interrupt", "execute_tools", "compact"} <= set(graph.nodes)
    assert list(graph.get_input_jsonschema()["properties"]) == ["messages"]


async def test_a_run_without_a_thread_is_one_line(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lab, lab.script(), monkeypatch) as served:
        with pytest.raises(RunFailed, match="a run needs a thread"):
            await anext(served.app.copy({"checkpointer": None}).astream(said("hi"), {"configurable": {}}))


async def test_a_run_that_is_tried_again_repeats_no_message_and_gives_no_answer_anew(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lab.script({"tool_calls": [bash("touch one")]}, {"tool_calls": [bash("touch two")]}, {"text": "A"})
    async with serving(lab, model, monkeypatch, approval_mode="ask") as served:
        await served.run(said("go"))
        assert await served.run(said("go"), attempt=2) == ["go", ""]
        answer: Command[Any] = Command(resume={"decisions": [{"type": "approve"}]})
        await served.run(answer)
        assert (await served.state()).interrupts
        await served.run(answer, attempt=2)
        assert (await served.state()).interrupts
    assert [path.name for path in lab.workspace.iterdir()] == ["one"]


async def test_an_answer_may_name_its_interrupt_and_edit_a_call_as_studio_does(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lab.script({"tool_calls": [bash("touch wrong")]}, {"text": "A"})
    async with serving(lab, model, monkeypatch, approval_mode="ask") as served:
        await served.run(said("go"))
        [waiting] = (await served.state()).interrupts
        edited = {"name": "bash", "args": {"command": "touch right"}}
        await served.run(Command(resume={waiting.id: {"decisions": [{"type": "edit", "edited_action": edited}]}}))
    assert [path.name for path in lab.workspace.iterdir()] == ["right"]


async def test_a_message_at_an_older_checkpoint_goes_on_from_there(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lab, lab.script({"text": "A"}, {"text": "B"}), monkeypatch) as served:
        await served.run(said("one"))
        older = await served.head()
        await served.run(said("two"))
        assert await served.run(said("other"), at=older) == ["one", "A", "other", "B"]
        assert (await served.state()).values["turn"] == 2


async def test_an_answer_at_an_older_checkpoint_is_refused_and_asked_for_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lab.script({"tool_calls": [bash("echo x >> log")]}, {"text": "A"})
    async with serving(lab, model, monkeypatch, approval_mode="ask") as served:
        await served.run(said("go"))
        older = await served.head()
        answer: Command[Any] = Command(resume={"decisions": [{"type": "approve"}]})
        await served.run(answer, at=older)
        with pytest.raises(RunFailed, match="already answered"):
            await served.run(answer, at=older)
        await served.run(None, at=older)
        assert (await served.state()).interrupts
        await served.run(Command(resume={"decisions": [{"type": "reject"}]}))
        assert (await served.texts())[2].startswith("Not run: the user rejected it")
    assert (lab.workspace / "log").read_text() == "x\n"


async def test_a_run_whose_client_goes_away_leaves_nothing_open_and_lets_go_of_the_thread(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lab.script({"tool_calls": [bash("touch no")]}, {"text": "A"})
    async with serving(lab, model, monkeypatch, approval_mode="auto") as served:
        stream = served.app.astream(said("go"), {"configurable": {"thread_id": THREAD}}, stream_mode="updates")
        await anext(stream)
        await stream.aclose()
        assert (await served.texts())[-1] == "Not run: interrupted by the user."
        async with lab.session(model, thread=THREAD):
            with pytest.raises(RunFailed, match="is in use by process"):
                await served.run(said("me too"))
            with pytest.raises(HTTPException, match="is in use by process"):
                await served.app.aupdate_state({"configurable": {"thread_id": THREAD}}, {"plan": []})
        assert await served.run(said("now")) == ["go", "", "Not run: interrupted by the user.", "now", "A"]
    assert not (lab.workspace / "no").exists()


async def test_an_unforeseen_fault_is_one_line_and_its_traceback_is_in_the_log(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = lab.home.parent / "broken.yaml"
    broken.write_bytes(b"\xff\xfe\x00")
    async with serving(lab, f"scripted:{broken}", monkeypatch) as served:
        with pytest.raises(RunFailed) as failed:
            await served.run(said("go"))
    assert "\n" not in str(failed.value)
    assert "Traceback" not in str(failed.value)


@pytest.fixture
def bought() -> Iterator[tuple[FakeModelServer, Endpoint]]:
    """An endpoint whose price is unknown."""
    with FakeModelServer() as server:
        yield server, Endpoint(server.url, "THE_KEY", "fake")


async def test_a_strict_budget_refuses_each_run_of_a_model_of_unknown_price(
    lab: Lab, bought: tuple[FakeModelServer, Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, endpoint = bought
    monkeypatch.setenv("THE_KEY", "k")
    async with serving(lab, "fake", monkeypatch, endpoint, max_budget_usd=5.0, strict_budget=True) as served:
        with pytest.raises(RunFailed, match="no price is known for fake, and the budget is strict"):
            await served.run(said("go"))
        with pytest.raises(RunFailed, match="the budget is strict"):
            await served.run(None)
        assert (await served.texts(), server.asked) == ([], [])
        free = lab.script({"text": "A"})
        assert await served.run(said("go"), model=free) == ["go", "A"]
        with pytest.raises(RunFailed, match="the budget is strict"):
            await served.run(said("and on"))


async def test_a_budget_that_cannot_be_enforced_is_reported_before_a_run(
    lab: Lab,
    bought: tuple[FakeModelServer, Endpoint],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("THE_KEY", "k")
    line = "no price is known for fake: the budget of $5.00 allows 250 requests to it (50 per dollar)"
    async with serving(lab, "fake", monkeypatch, bought[1], max_budget_usd=5.0) as served:
        await served.run(said("go"))
        assert [one for one in caplog.messages if one.startswith(line)]
        caplog.clear()
        await served.run(said("again"), max_budget_usd=1.0)
        assert "the budget of $1.00 allows 50 requests" in caplog.text
        [note] = await check_models(lab.options("fake", max_budget_usd=5.0), bought[1])
    assert note.startswith(line)
    assert note.endswith("--strict-budget")


def test_the_options_reach_the_server_and_the_commands_of_tools_get_the_callers_variables(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = lab.options("m", add_dirs=("/a",), model_params={"temperature": 0.5}, max_budget_usd=2.5)
    told = ServedOptions(options, Endpoint("http://127.0.0.1:1/v1", "KEY"), {"DATABASE_URI": "mine"})
    monkeypatch.setenv(VARIABLE, told.as_text())
    assert ServedOptions.read() == told
    environ = dict.fromkeys((*OVERWRITTEN, VARIABLE), "the server's") | {"HOME": "/home"}
    told.restore_environment(environ)
    assert environ == {"DATABASE_URI": "mine", "HOME": "/home"}


def test_a_server_that_was_told_nothing_goes_by_the_settings_for_servers(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_INTERN_HOME", str(lab.home))
    monkeypatch.setenv("ML_INTERN_DEFAULT_MODEL_ID", "ollama/small")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(lab.workspace)
    lab.home.mkdir()
    (lab.home / "cli_agent_config.json").write_text('{"permissions": {"deny": ["bash(git push)"]}}')
    run = ServedOptions.read().run
    assert (run.model, run.workspace, run.approval_mode) == ("ollama/small", str(lab.workspace), "ask")
    assert run.permissions["deny"] == ["bash(git push)"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        "hi",
        {"messages": []},
        {"messages": 3},
        {"messages": [{"content": "x"}]},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
        {"messages": "x", "plan": [1]},
    ],
)
def test_only_the_users_words_are_input(given: Any) -> None:
    with pytest.raises(UsageError, match="a text message of the user") as wrong:
        users_text(given)
    assert EXAMPLE in str(wrong.value)


def test_the_shapes_that_studio_sends_are_understood() -> None:
    block = {"type": "human", "content": [{"type": "text", "text": "b"}]}
    assert users_text({"messages": [{"role": "user", "content": "a"}, block], "plan": []}) == "a\n\nb"
    assert users_text({"messages": "c"}) == "c"
    assert given_choices(None) == {}
    assert given_choices({"model": "m", "effort": None}) == {"model": "m"}


@pytest.mark.parametrize(
    "context",
    [
        {"approval_mode": "auto"},
        {"approval_mode": "yolo"},
        {"max_iterations": 51},
        {"max_iterations": -1},
        {"max_iterations": -7},
        {"max_budget_usd": 2.01},
        {"max_budget_usd": -1},
        {"max_budget_usd": float("nan")},
        {"max_budget_usd": float("inf")},
        {"approval_mode": "plan", "max_budget_usd": 3},
    ],
)
async def test_a_run_cannot_be_weaker_than_the_server(
    context: dict[str, Any], lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lab.script({"text": "A"})
    limits: dict[str, Any] = {"approval_mode": "ask", "max_iterations": 50, "max_budget_usd": 2.0}
    async with serving(lab, model, monkeypatch, **limits) as served:
        with pytest.raises(RunFailed, match="is weaker than the server's"):
            await served.run(said("go"), **context)
        assert await served.texts() == []


async def test_a_run_can_be_stricter_than_the_server(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(lab, lab.script({"text": "A"}), monkeypatch, approval_mode="auto") as served:
        assert await served.run(said("go"), approval_mode="plan", max_iterations=3, max_budget_usd=0.5) == ["go", "A"]


def test_an_unlimited_server_allows_unlimited_runs(lab: Lab) -> None:
    check_not_weaker({"max_budget_usd": -1, "approval_mode": "yolo"}, lab.options("m", approval_mode="yolo"))
