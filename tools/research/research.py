"""The research tool: a sub-agent with reading tools answers a question in a thread of its own and cites its sources."""

from typing import Literal

from pydantic import Field

from graph.context import Share
from tools.base import ToolArgs, ToolContext, ToolFault, ToolResult, tool
from tools.research.report import review

READING_TOOLS = (
    "read", "docs_search", "docs_read", "papers", "datasets", "hub_search", "github", "web_search", "web_read",
)  # fmt: skip
SHARES: dict[str, tuple[int, int, float]] = {
    "quick": (12, 300_000, 0.5),
    "normal": (30, 1_500_000, 2.0),
    "thorough": (60, 4_000_000, 6.0),
}
"""Model calls, tokens and US dollars of a sub-agent, by the depth it is asked for."""
_SECONDS = 3_600.0


class ResearchArgs(ToolArgs):
    """What research takes."""

    question: str = Field(
        min_length=10,
        max_length=6_000,
        description="What to find out, complete in itself: the goal, what is known, which names and numbers matter.",
    )
    depth: Literal["quick", "normal", "thorough"] = Field("normal", description="How much it may spend on it.")


async def _go_on(handle: str, args: ResearchArgs, context: ToolContext) -> ToolResult:
    """Go on with the sub-agent that a killed process had started."""
    return await _ask(args, context, handle)


@tool(read_only=True, on_resume="reattach", reattach=_go_on, timeout=_SECONDS, path_args=())
async def research(args: ResearchArgs, context: ToolContext) -> ToolResult:
    """Give a question to a sub-agent that reads documentation, papers, datasets, GitHub and the web, and reports back.

    Use it where an answer takes many pages: which paper has the best result and its exact recipe, how the current API
    of a library is used, which dataset fits. It keeps those pages out of your context: you get claims, each with its
    source. It knows nothing of this conversation, so write a question that stands alone. Two run at the same time;
    it cannot change files or start sub-agents. Read the sources yourself where a detail decides.
    """
    return await _ask(args, context, "")


async def _ask(args: ResearchArgs, context: ToolContext, handle: str) -> ToolResult:
    if context.spawn is None or context.options.child:
        raise ToolFault("there are no sub-agents here; use the reading tools yourself")
    known = tuple(name for name in READING_TOOLS if name in context.services.tools)
    return await context.spawn(args.question, context, Share(known, *SHARES[args.depth]), resume=handle, review=review)
