"""Every fault of a model server, over both transports and in sub-agents: how it ends, what ran, what it cost."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from pydantic import Field

from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import SubagentQuota, ToolArgs, ToolContext, ToolSpec, tool
from ml_intern.graph.operations import UserInput
from ml_intern.models.catalog.prices import price_of
from ml_intern.models.gateway import Models
from ml_intern.models.request import Usage
from ml_intern.models.transports.base import Timeouts
from ml_intern.session.agent import AgentSession
from ml_intern.store.store import Store
from tests.fakes.fault_list import FAULTS, MANY, Fault, FaultyModel, paid
from tests.fakes.model_server import FakeModelServer
from tests.faults.counts import EVERY_FAULT, PROPERTY, Report
from tests.session.conftest import Lab, data, turn

WAITS = Timeouts(connect_s=5, idle_s=0.3, whole_s=0.3, retries=3, first_backoff_s=0.001, max_backoff_s=0.002)
OFFER = {"provider": "p", "status": "live", "pricing": {"input": 2, "output": 2}, "context_length": 100_000}
MODEL, OF_LITELLM = "org/faulty:p", "deepseek/deepseek-chat"
USED = Usage(20, 5)
"""What a reply of the fake server uses."""


class StepArgs(ToolArgs):
    """What step takes."""

    word: str = Field(description="What to note.")


def stepping(ran: list[str]) -> Mapping[str, ToolSpec]:
    """A tool that notes what it was called with, and one that lets a sub-agent do the work."""

    @tool(timeout=None)
    async def step(args: StepArgs, context: ToolContext) -> str:
        """Do one step."""
        ran.append(args.word)
        return f"{args.word} is done. " + "x" * 12_000

    @tool(timeout=None)
    async def delegate(args: ToolArgs, context: ToolContext) -> ToolResult:
        """Let a sub-agent do the steps."""
        assert context.spawn is not None
        return await context.spawn("do the steps", context, SubagentQuota(("step",), 50))

    return {"step": step, "delegate": delegate}


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        running.models = [{"id": "org/faulty", "providers": [OFFER]}]
        yield running


def cases() -> Iterator[object]:
    """Each fault, streamed and whole where it can be both, and through litellm; each second one in a sub-agent.

    In the normal run each fault is played in one of these ways.
    """
    for number, fault in enumerate(FAULTS):
        ways = ("streamed", "whole", "litellm", *(["sub-agent"] if number % 2 else []))
        possible = [
            how for how in ways if fault.streamed in (None, how != "whole") and not (fault.direct and how == "litellm")
        ]
        for how in possible if EVERY_FAULT else [possible[number % len(possible)]]:
            yield pytest.param(fault, how, id=f"{fault.name}-{how}")


def test_the_list_is_long(record_property: Report) -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40
    record_property(PROPERTY, f"{len(FAULTS)} faults of a model server in {len([*cases()])} turns")


@pytest.mark.parametrize(("fault", "how"), [*cases()])
async def test_a_fault_ends_as_it_must_and_every_request_is_in_the_ledger(
    lab: Lab, server: FakeModelServer, fault: Fault, how: str
) -> None:
    ran: list[str] = []
    server.default = model = FaultyModel(fault)
    environ = {"HF_TOKEN": "hf_x", "ML_INTERN_ROUTER_URL": server.url}
    environ |= {"DEEPSEEK_API_KEY": "sk-x", "DEEPSEEK_API_BASE": server.url}
    model_id, price = (OF_LITELLM, price_of(OF_LITELLM)) if how == "litellm" else (MODEL, None)
    names = ("step", "delegate") if how == "sub-agent" else ("step",)
    options = lab.options(model_id, approval_mode="yolo", headless=True, tool_names=names, stream=how != "whole")
    async with await Store.open(lab.home) as store:
        waits = replace(WAITS, patience_s=0) if fault.again else WAITS
        models = Models(store.ledger, waits=waits, environ=environ)
        session = await AgentSession.open(store, models, stepping(ran), options)
        try:
            events = await turn(session, UserInput("do the steps"))
            totals = await session.totals()
        finally:
            await session.close()
            await models.close()
    [end] = data(events, "turn_complete")
    if how != "sub-agent":
        errors = [one for one in data(events, "error") if one["exit_code"] is not None]
        assert (end["status"], errors[-1]["exit_code"] if errors else int(end["status"] == "failed")) == (
            fault.end,
            fault.code,
        )
        assert fault.words in f"{end['text']} {[one['message'] for one in errors]}"
    assert tuple(ran) == fault.ran
    assert len(server.asked) < MANY
    assert totals.requests == len(server.asked) == len(model.given)
    assert totals.open_requests == 0
    known, unknown = paid(model.given)
    assert totals.cost_usd == pytest.approx(known * (price.cost(USED) if price else 25 * 2e-6))
    assert totals.unknown_cost_requests == unknown
