"""A hundred calls in one reply: all run, not all at once, and the results are in the order of the calls."""

import asyncio

from pydantic import Field

from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.graph.operations import UserInput
from ml_intern.nodes.execute_tools import CONCURRENT_READS
from tests.session.conftest import Lab, turn


async def test_a_hundred_reading_calls_run_sixteen_at_a_time(lab: Lab) -> None:
    running, most, together = 0, 0, asyncio.Barrier(CONCURRENT_READS)

    class LookArgs(ToolArgs):
        number: int = Field(description="a number")

    @tool(name="look", read_only=True, path_args=())
    async def look(args: LookArgs, context: ToolContext) -> str:
        """Look at a number."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        if args.number < CONCURRENT_READS:
            await together.wait()
        await asyncio.sleep(0)
        running -= 1
        return f"saw {args.number}"

    calls = [{"name": "look", "args": {"number": number}} for number in range(100)]
    lab.tools = {"look": look}
    async with lab.session(lab.script({"tool_calls": calls}, {"text": "done"})) as session:
        await turn(session, UserInput("look at all"))
        seen = [message.text for message in await session.messages() if message.type == "tool"]
    assert seen == [f"saw {number}" for number in range(100)]
    assert most == CONCURRENT_READS
