"""Create, list, inspect, suspend, resume and delete scheduled Hub jobs."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ExternalEffects, ToolContext
from ml_intern.net.hub import call_hub
from ml_intern.net.hub_identity import get_hub_token, token_owner
from ml_intern.runs.backends.base import RunPlan
from ml_intern.runs.backends.hub_jobs import completed, job_arguments
from ml_intern.text.formatting import capped, money

if TYPE_CHECKING:
    from huggingface_hub import HfApi

DESTINATION = "schedule"
"""The word a user must have written to allow a schedule in unattended mode."""
MAX_LISTED = 50


async def schedule_effects(plan: RunPlan, context: ToolContext) -> ExternalEffects:
    """Return the external effects of a schedule. Its cost is unknown, because it has no limit. Raises ToolError."""
    whole = await completed(plan, context)
    return ExternalEffects((DESTINATION,), irreversible=True, cost_usd=None, secrets=whole.secrets)


async def create_schedule(plan: RunPlan, when: str, context: ToolContext) -> str:
    """Schedule the job. `when` is @hourly, @daily, ..., or a cron expression. Raises ToolError."""
    if not when.strip():
        raise ToolError(
            "no times given for the schedule; use @hourly, @daily, @weekly or a cron expression: '0 9 * * 1'"
        )
    plan = await completed(plan, context)
    arguments = await asyncio.to_thread(job_arguments, plan)
    made = await call_hub(lambda api: api.create_scheduled_job(**arguments, schedule=when.strip()), "the schedule")
    price = "an unknown amount" if plan.max_usd is None else f"at most {money(plan.max_usd)}"
    return (
        f"created: {_line(made)}\nEach job costs {price}. Jobs start until the schedule is deleted. They do not wake "
        "this thread and do not count against its budget"
    )


async def list_schedules(namespace: str | None, context: ToolContext) -> str:
    """Return one line per schedule. Raises ToolError."""
    where = await _namespace(namespace, context)
    found = await call_hub(lambda api: list(api.list_scheduled_jobs(namespace=where)), "the schedules")
    return "\n".join(capped([_line(one) for one in found], MAX_LISTED)) or f"{where} has no schedules"


async def change_schedule(operation: str, id: str, namespace: str | None, context: ToolContext) -> str:
    """Inspect, suspend, resume or delete a schedule. Raises ToolError."""
    if not id:
        raise ToolError("no schedule id given; list the schedules to see the ids")
    where = {"scheduled_job_id": id, "namespace": await _namespace(namespace, context)}
    calls: dict[str, Callable[[HfApi], Any]] = {
        "inspect": lambda api: api.inspect_scheduled_job(**where),
        "suspend": lambda api: api.suspend_scheduled_job(**where),
        "resume": lambda api: api.resume_scheduled_job(**where),
        "delete": lambda api: api.delete_scheduled_job(**where),
    }
    about = f"the schedule {id}"
    await call_hub(calls[operation], about)
    if operation == "delete":
        return f"deleted schedule {id}; jobs it has started continue"
    return _line(await call_hub(calls["inspect"], about))


async def _namespace(namespace: str | None, context: ToolContext) -> str:
    if not await get_hub_token():
        raise ToolError("scheduled jobs need a token; the user has to set HF_TOKEN or run `hf auth login`")
    return namespace or await token_owner(context)


def _line(one: Any) -> str:
    """Format the id, times, state, hardware and last job of a schedule."""
    state = "suspended" if one.suspend else "on"
    last = (
        f"; last job {one.status.last_job.id} at {one.status.last_job.at:%Y-%m-%d %H:%M}" if one.status.last_job else ""
    )
    following = f"; next at {one.status.next_job_run_at:%Y-%m-%d %H:%M} UTC" if one.status.next_job_run_at else ""
    return f"{one.id}  {one.schedule}  {state}  {one.job_spec.flavor}{following}{last}"
