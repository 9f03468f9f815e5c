"""The graph to compare with on PostgreSQL: a model node, a tool node and AsyncPostgresSaver, with no journal.

Run by bench.team_overhead with the model id, the URL of the database and a durability; the endpoint comes from the
provider's environment variables.
"""

import asyncio
import sys
from typing import Any, Literal, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_litellm import ChatLiteLLM
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


@tool
async def bash(command: str) -> str:
    """Run a command."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode()


async def main(model: str, url: str, durability: str) -> None:
    """Play one turn."""
    chat = ChatLiteLLM(model=model, streaming=True).bind_tools([bash])

    async def call(state: MessagesState) -> dict[str, list[BaseMessage]]:
        return {"messages": [await chat.ainvoke(state["messages"])]}

    graph: StateGraph[Any, Any, Any, Any] = StateGraph(MessagesState)
    graph.add_node("model", call)
    graph.add_node("tools", ToolNode([bash]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    async with AsyncPostgresSaver.from_conn_string(url) as saver:
        await saver.setup()
        app = graph.compile(checkpointer=saver)
        config: RunnableConfig = {"configurable": {"thread_id": "bare"}, "recursion_limit": 100_000}
        kept = cast(Literal["sync", "async"], durability)
        await app.ainvoke({"messages": [{"role": "user", "content": "Go."}]}, config, durability=kept)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
