"""The operations of the tool `jobs` that are about the Hub itself: its hardware, and schedules."""

from collections.abc import Awaitable, Callable
from typing import Final

from tools.base import ToolContext
from tools.compute.hardware import all_hardware
from tools.compute.hub_schedules import change_schedule, create_schedule, list_schedules
from tools.compute.jobs_args import JobsArgs, plan_of


async def hardware(_: JobsArgs, __: ToolContext) -> str:
    """Every machine with its price, the cheapest first. Raises ToolFault."""
    return "\n".join(machine.line for machine in (await all_hardware()).values())


async def schedule(args: JobsArgs, context: ToolContext) -> str:
    """Let a job start again and again. Raises ToolFault."""
    return await create_schedule(await plan_of(args, context), args.when, context)


async def schedules(args: JobsArgs, context: ToolContext) -> str:
    """All schedules, or one. Raises ToolFault."""
    if args.schedule:
        return await change_schedule("inspect", args.schedule, args.namespace or None, context)
    return await list_schedules(args.namespace or None, context)


async def _changed(args: JobsArgs, context: ToolContext) -> str:
    verb = args.operation.removesuffix("_schedule")
    return await change_schedule(verb, args.schedule, args.namespace or None, context)


HUB_OPERATIONS: Final[dict[str, Callable[[JobsArgs, ToolContext], Awaitable[str]]]] = {
    "hardware": hardware,
    "schedule": schedule,
    "schedules": schedules,
    "suspend_schedule": _changed,
    "resume_schedule": _changed,
    "delete_schedule": _changed,
}
