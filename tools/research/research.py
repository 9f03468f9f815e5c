"""The research tool: a sub-agent with reading tools answers a question in a child thread and cites its sources."""

from typing import Literal

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import SubagentQuota, ToolArgs, ToolContext, tool
from ml_intern.tools.research.report import review

READING_TOOLS = (
    "read", "docs_search", "docs_read", "papers", "datasets", "hub_search", "github", "web_search", "web_read",
)  # fmt: skip
QUOTAS: dict[str, tuple[int, int, float]] = {
    "quick": (12, 300_000, 0.5),
    "normal": (30, 1_500_000, 2.0),
    "thorough": (60, 4_000_000, 6.0),
}
"""Maximum model calls, tokens and US dollars of a sub-agent, by requested depth."""
_SECONDS = 3_600.0


class ResearchArgs(ToolArgs):
    """The arguments of research."""

    question: str = Field(
        min_length=10,
        max_length=6_000,
        description="A self-contained question: the goal, what is already known, which names and numbers matter.",
    )
    depth: Literal["quick", "normal", "thorough"] = Field("normal", description="How much the sub-agent may spend.")


async def _resume(handle: str, args: ResearchArgs, context: ToolContext) -> ToolResult:
    """Continue the sub-agent that a killed process had started."""
    return await _spawn(args, context, handle)


@tool(read_only=True, on_resume="reattach", reattach=_resume, timeout=_SECONDS, path_args=())
async def research(args: ResearchArgs, context: ToolContext) -> ToolResult:
    """Ask a sub-agent that reads documentation, papers, datasets, GitHub and the web, and reports back.

    Use it for an answer that requires many pages: which paper has the best result and its exact recipe, how the current
    API of a library is used, which dataset fits. It keeps those pages out of your context: you get claims, each with
    its source. It knows nothing of this conversation, so ask a self-contained question. At most two run at the same
    time; it cannot change files or start sub-agents. Read the sources yourself when a detail is decisive.
    """
    return await _spawn(args, context, "")


async def _spawn(args: ResearchArgs, context: ToolContext, handle: str) -> ToolResult:
    if context.spawn is None or context.options.child:
        raise ToolError("sub-agents are not available here; use the reading tools yourself")
    known = tuple(name for name in READING_TOOLS if name in context.services.tools)
    return await context.spawn(
        args.question, context, SubagentQuota(known, *QUOTAS[args.depth]), resume=handle, review=review
    )
