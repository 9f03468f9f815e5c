"""The programs to compare with: a model, one bash tool, and no journal.

With a model id (bench.overhead): LangChain's create_agent and ChatLiteLLM, with no store. With the URL of a database
and a durability, too (bench.team_overhead): a graph of two nodes with AsyncPostgresSaver. The endpoint comes from the
provider's environment variables.
"""

import asyncio
import sys
from typing import Any, Literal, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_litellm import ChatLiteLLM


@tool
async def bash(command: str) -> str:
    """Run a command."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode()


async def play(model: str) -> None:
    """Play one turn. langchain is in the group `bench` only."""
    from langchain.agents import create_agent

    agent = create_agent(ChatLiteLLM(model=model, streaming=True), [bash])
    turn: Any = {"messages": [{"role": "user", "content": "Go."}]}
    parts: Any = agent.astream(turn, {"recursion_limit": 100_000}, stream_mode="messages")
    async for part, _ in parts:
        if part.type == "AIMessageChunk" and part.text:
            print(part.text, end="", flush=True)


async def play_on_postgres(model: str, url: str, durability: str) -> None:
    """Play one turn with checkpoints in a database."""
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition

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
        synced = cast(Literal["sync", "async"], durability)
        await app.ainvoke({"messages": [{"role": "user", "content": "Go."}]}, config, durability=synced)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [model]:
            asyncio.run(play(model))
        case [model, url, durability]:
            asyncio.run(play_on_postgres(model, url, durability))
