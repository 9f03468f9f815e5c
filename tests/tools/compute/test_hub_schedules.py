"""Schedules of jobs by the real client, and who may make one unasked."""

import pytest

from tests.fakes.hub import FakeHub
from tests.tools.hub.conftest import HubBench
from tools.base import ToolFault
from tools.compute.backend import RunPlan
from tools.compute.hub_schedules import change_schedule, create_schedule, list_schedules, schedule_reach


def plan(desk: HubBench) -> RunPlan:
    return RunPlan("hub", "nightly", desk.workspace, command=("python", "-c", "print(1)"), limit_s=3600.0)


async def test_a_schedule_is_made_listed_suspended_resumed_and_deleted(hub: FakeHub, desk: HubBench) -> None:
    context = desk.context()
    assert await list_schedules(None, context) == "ada has no schedules"
    made = await create_schedule(plan(desk), "@daily", context)
    ((id, found),) = hub.jobs.scheduled.items()
    assert f"made: {id}  @daily  on  cpu-basic; next at" in made
    assert "0.01 USD each" in made
    assert (found["jobSpec"]["timeoutSeconds"], found["jobSpec"]["command"][0]) == (3600, "python")
    assert id in await list_schedules(None, context)
    assert "suspended" in await change_schedule("suspend", id, None, context)
    assert found["suspend"]
    assert "  on  " in await change_schedule("resume", id, None, context)
    assert id in await change_schedule("inspect", id, None, context)
    assert "deleted" in await change_schedule("delete", id, None, context)
    assert not hub.jobs.scheduled


async def test_what_cannot_be_scheduled_is_said(hub: FakeHub, desk: HubBench) -> None:
    for said, refused in (
        ("needs its times", create_schedule(plan(desk), " ", desk.context())),
        ("404", change_schedule("delete", "none", None, desk.context())),
        ("by its id", change_schedule("delete", "", None, desk.context())),
    ):
        with pytest.raises(ToolFault, match=said):
            await refused


async def test_its_price_has_no_bound(hub: FakeHub, desk: HubBench) -> None:
    reach = await schedule_reach(plan(desk), desk.context())
    assert (reach.cost_usd, reach.irreversible) == (None, True)
