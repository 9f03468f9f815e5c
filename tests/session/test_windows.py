"""Long tasks on models with windows of every size: finished through compaction, and every request is in the ledger."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import Field

from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import SubagentQuota, ToolArgs, ToolContext, ToolSpec, tool
from ml_intern.graph.operations import Compact, UserInput
from ml_intern.models.gateway import Models
from ml_intern.session.agent import AgentSession
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools
from tests.fakes.model_server import Call, FakeModelServer, Reply, error
from tests.fakes.windowed_model import WindowedModel
from tests.faults.counts import some
from tests.session.conftest import Lab, data, turn

STEPS = 200
WINDOWS = (8_192, 12_000, 16_384, 24_000, 32_768, 65_536, 128_000, 200_000, 400_000, 1_000_000)


class StepArgs(ToolArgs):
    """What step takes."""

    number: int = Field(description="Which step.")


def stepping(characters: int) -> Mapping[str, ToolSpec]:
    """All built-in tools, and one that answers with so many characters."""

    @tool(read_only=True)
    async def step(args: StepArgs, context: ToolContext) -> str:
        """Do one step."""
        return f"step {args.number}: ".ljust(characters, "x")

    @tool(timeout=None)
    async def delegate(args: ToolArgs, context: ToolContext) -> ToolResult:
        """Let a sub-agent do some of the steps."""
        assert context.spawn is not None
        return await context.spawn("do two steps", context, SubagentQuota(("step",), 50))

    return {**create_builtin_tools(), "step": step, "delegate": delegate}


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        yield running


@asynccontextmanager
async def opened(
    lab: Lab, server: FakeModelServer, model: WindowedModel, characters: int, id: str = "vllm/simulated", **choices: Any
) -> AsyncIterator[AgentSession]:
    server.default = model
    environ = {"VLLM_BASE_URL": server.url, "HF_TOKEN": "hf_x", "ML_INTERN_ROUTER_URL": server.url}
    tools = ("step", "plan") if model.window < 100_000 else ()
    given = {"approval_mode": "yolo", "tool_names": tools, "max_iterations": -1, **choices}
    async with await Store.open(lab.home) as store:
        models = Models(store.ledger, environ=environ)
        options = lab.options(id, **given)
        session = await AgentSession.open(store, models, stepping(characters), options)
        try:
            yield session
        finally:
            await session.close()
            await models.close()


@pytest.mark.parametrize("window", some(WINDOWS))
async def test_a_task_of_200_calls_is_finished_through_compaction(
    lab: Lab, server: FakeModelServer, window: int
) -> None:
    model = WindowedModel(window, STEPS, calls_at_once=5)
    told = WINDOWS.index(window) % 2 == 0
    if told:
        server.models = [{"id": "simulated", "max_model_len": window}]
    async with opened(lab, server, model, characters=min(window // 8, 18_000)) as session:
        events = await turn(session, UserInput("do all the steps"))
        totals, history = await session.totals(), await session.messages()
    assert data(events, "turn_complete")[0]["text"] == f"All {STEPS} steps are done."
    assert model.faults == []
    assert data(events, "compacted")
    assert history[0].text == "do all the steps"
    assert sum(one["ok"] for one in data(events, "tool_output")) == STEPS
    assert totals.requests == len(server.asked)
    assert (totals.open_requests, totals.unknown_cost_requests, totals.cost_usd) == (0, 0, 0.0)
    assert model.refused <= (0 if told else 1)


@pytest.mark.parametrize("tells", [True, False], ids=["tells", "silent"])
async def test_a_window_of_8k_where_200k_was_assumed_costs_fewer_than_ten_requests(
    lab: Lab, server: FakeModelServer, *, tells: bool
) -> None:
    model = WindowedModel(8_192, 30, tells=tells)
    async with opened(lab, server, model, characters=2_000) as session:
        events = await turn(session, UserInput("do all the steps"))
    assert data(events, "turn_complete")[0]["text"] == "All 30 steps are done."
    assert model.faults == []
    assert len(server.asked) - 31 < 10
    assert model.refused < 4


@dataclass
class RefusingModel(WindowedModel):
    """Refuses every sixth request, as a server does that counts differently from time to time."""

    requests: int = 0

    def _answer(self, asked: dict[str, Any]) -> Reply:
        self.requests += bool(asked.get("tools"))
        if not asked.get("tools") or self.requests % 6:
            return super()._answer(asked)
        self.refused += 1
        return error(400, "maximum context length exceeded", "context_length_exceeded")


async def test_refusals_are_counted_anew_after_each_reply(lab: Lab, server: FakeModelServer) -> None:
    model = RefusingModel(200_000, 24)
    async with opened(lab, server, model, characters=6_000) as session:
        events = await turn(session, UserInput("do all the steps"))
    assert data(events, "turn_complete")[0]["text"] == "All 24 steps are done."
    assert model.refused > 3


async def test_in_a_small_window_only_the_essential_tools_are_offered_and_it_is_said(
    lab: Lab, server: FakeModelServer
) -> None:
    server.models = [{"id": "simulated", "max_model_len": 8_192}]
    async with opened(lab, server, WindowedModel(8_192, 0), 10, tool_names=()) as session:
        await turn(session, UserInput("hello"))
        events = await turn(session, UserInput("hello again"))
    offered = [{one["function"]["name"] for one in asked.json["tools"]} for asked in server.asked]
    assert offered == [{"bash", "read", "write", "edit", "plan"}] * 2
    assert data(events, "turn_complete")[0]["status"] == "done"


async def test_a_window_the_instructions_alone_do_not_fit_ends_in_one_line(lab: Lab, server: FakeModelServer) -> None:
    async with opened(lab, server, WindowedModel(1_000, 5), 10) as session:
        events = await turn(session, UserInput("hello"))
        end = data(events, "turn_complete")[0]
    assert end["status"] == "failed"
    assert "tools take" in end["text"] or "does not fit" in end["text"]
    assert len(server.asked) < 5


async def test_a_compaction_by_hand_keeps_what_the_user_names(lab: Lab, server: FakeModelServer) -> None:
    async with opened(lab, server, WindowedModel(100_000, 12), 2_000) as session:
        await turn(session, UserInput("do all the steps"))
        events = await turn(session, Compact("the learning rate"))
        server.default = Reply(text="going on")
        last = await turn(session, UserInput("go on"))
    [compacted] = data(events, "compacted")
    assert compacted["after_tokens"] < compacted["before_tokens"]
    request = next(asked.json for asked in server.asked if not asked.json.get("tools"))
    assert "The user asks you to preserve this: the learning rate" in request["messages"][0]["content"]
    assert data(last, "turn_complete")[0]["text"] == "going on"


async def test_the_agent_is_told_where_the_removed_part_is_and_can_read_it(lab: Lab, server: FakeModelServer) -> None:
    read: list[str] = []

    def reading(asked: dict[str, Any]) -> Reply:
        newest = asked["messages"][-1]
        if newest["role"] == "tool":
            read.append(newest["content"])
            return Reply(text="I read it.")
        [path] = set(re.findall(r"/\S+/compaction-\w+\.md", str(asked["messages"][1:])))
        return Reply(calls=[Call("read", json.dumps({"path": path}))])

    async with opened(lab, server, WindowedModel(100_000, 12), 100, approval_mode="auto", tool_names=()) as session:
        await turn(session, UserInput("do all the steps"))
        await turn(session, Compact())
        server.default = reading
        await turn(session, UserInput("read what was removed"))
    assert "step 3: xxx" in read[0]


async def test_every_request_is_in_the_ledger_with_its_cost_sub_agents_and_compactions_too(
    lab: Lab, server: FakeModelServer
) -> None:
    pricing = {"provider": "p", "status": "live", "pricing": {"input": 1, "output": 2}, "context_length": 10_000}
    server.models = [{"id": "org/simulated", "providers": [pricing]}]
    model = WindowedModel(10_000, 24)
    tools = ("step", "delegate")
    async with opened(lab, server, model, 1_500, "org/simulated:p", tool_names=tools) as session:
        server.say(Reply(calls=[Call("delegate")], usage={"prompt_tokens": 100, "completion_tokens": 10}))
        events = await turn(session, UserInput("do the steps"))
        totals = await session.totals()
        rows = await session.services.store.ledger.by_source(session.thread_id)
    assert data(events, "turn_complete")[0]["text"] == "All 24 steps are done."
    assert {row.source for row in rows} == {"main", "research", "compaction"}
    assert totals.requests == len(server.asked)
    assert totals.unknown_cost_requests == totals.open_requests == 0
    usages = [*model.usages, {"prompt_tokens": 100, "completion_tokens": 10}]
    paid = sum(usage["prompt_tokens"] + 2 * usage["completion_tokens"] for usage in usages) / 1_000_000
    assert totals.cost_usd == pytest.approx(paid)
    assert data(events, "usage")[-1]["total_cost_usd"] == pytest.approx(paid)
