"""Schedules of jobs by the real client, and who may make one unasked."""

import pytest

from ml_intern.execution.call import ToolError
from ml_intern.execution.run import run_call
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.hub_schedules import change_schedule, create_schedule, list_schedules, schedule_effects
from tests.fakes.hub import FakeHub
from tests.tools.hub.conftest import HubBench


def plan(desk: HubBench) -> RunPlan:
    return RunPlan("hub", "nightly", desk.workspace, command=("python", "-c", "print(1)"), limit_s=3600.0)


async def test_a_schedule_is_made_listed_suspended_resumed_and_deleted(hub: FakeHub, desk: HubBench) -> None:
    context = desk.context()
    assert await list_schedules(None, context) == "ada has no schedules"
    made = await create_schedule(plan(desk), "@daily", context)
    ((id, found),) = hub.jobs.scheduled.items()
    assert f"created: {id}  @daily  on  cpu-basic; next at" in made
    assert "at most $0.01" in made
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
        ("no times given", create_schedule(plan(desk), " ", desk.context())),
        ("404", change_schedule("delete", "none", None, desk.context())),
        ("no schedule id given", change_schedule("delete", "", None, desk.context())),
    ):
        with pytest.raises(ToolError, match=said):
            await refused


async def test_its_price_has_no_bound(hub: FakeHub, desk: HubBench) -> None:
    reach = await schedule_effects(plan(desk), desk.context())
    assert (reach.cost_usd, reach.irreversible) == (None, True)


async def test_the_tool_makes_one_only_for_a_user_who_asked_for_a_schedule(hub: FakeHub, desk: HubBench) -> None:
    args = {"operation": "schedule", "command": "python -c 1", "when": "@daily", "timeout": "10m"}
    refused = await desk.run("jobs", **args)
    assert "which the user did not name" in refused.text
    assert not hub.jobs.scheduled
    call = desk.call("jobs", args)
    made = await run_call(call, desk.context(user_text="schedule the evaluation for every night"))
    ((id, _),) = hub.jobs.scheduled.items()
    assert id in made.text
    assert id in (await desk.run("jobs", operation="schedules")).text
    assert "deleted" in (await desk.run("jobs", operation="delete_schedule", schedule=id)).text
    assert (
        "a100-large: 12 vCPU, 142 GB, 1 x A100 (80 GB); $2.50 per hour"
        in (await desk.run("jobs", operation="hardware")).text
    )
