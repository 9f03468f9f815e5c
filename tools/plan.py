"""The plan tool: the list of steps that the user sees and the loop checks."""

from typing import Literal

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.text.formatting import plural

_MARKS = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]", "dropped": "[-]"}


class PlanStepArgs(ToolArgs):
    """One step of the plan."""

    text: str = Field(min_length=1, max_length=300, description="The step, in one line.")
    status: Literal["pending", "in_progress", "done", "dropped"] = Field(
        "pending", description="dropped: it will not be done; explain why in the answer."
    )


class PlanArgs(ToolArgs):
    """The arguments of plan."""

    steps: list[PlanStepArgs] = Field(max_length=50, description="All steps in order, including finished ones.")


@tool(path_args=(), asks=False, on_resume="rerun")
async def plan(args: PlanArgs, context: ToolContext) -> ToolResult:
    """Write or update the plan: all its steps with their status. The user sees it.

    Use it for work of more than two steps. Keep exactly one step in progress while you work; mark it done when it is
    finished and verified, before you start the next.
    """
    active = [step for step in args.steps if step.status == "in_progress"]
    if len(active) > 1:
        raise ToolError(f"{plural(len(active), 'step')} in progress; keep one in progress and the others pending")
    steps = [step.model_dump() for step in args.steps]
    context.emit("plan_update", steps=steps)
    lines = [f"{_MARKS[step.status]} {step.text}" for step in args.steps]
    return ToolResult("\n".join(["Plan:", *lines]), state={"plan": steps})
