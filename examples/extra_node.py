"""A node of your own in ml-intern's graph: it adds a rule to the conversation before the first request.

Run: `python examples/extra_node.py MODEL FOLDER TASK`
"""

import asyncio
import sys
from pathlib import Path

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START

from ml_intern.configs.paths import data_home
from ml_intern.execution.tool import Services, ThreadScope
from ml_intern.graph import build_graph
from ml_intern.graph.context import RunOptions
from ml_intern.graph.state import AgentState
from ml_intern.models.gateway import Models
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools

THREAD = "my-thread"


async def welcome(state: AgentState) -> AgentState:
    """Add a rule of this program to the conversation before the first request."""
    if any(isinstance(message, AIMessage) for message in state["messages"]):
        return {}
    return {"messages": [HumanMessage("Answer in one sentence.", id="rule")]}


async def run(model: str, folder: str, task: str) -> str:
    """Run a task and return the answer."""
    async with await Store.open(data_home()) as store:
        models = Models(store.ledger)
        options = RunOptions(model=model, workspace=folder, approval_mode="auto", headless=True)
        services = Services(models, create_builtin_tools(), store, options)
        services.scopes.open(THREAD, ThreadScope())
        graph = build_graph(services)
        graph.branches.pop(START)  # the turn begins at this node instead
        graph.add_node("welcome", welcome)
        graph.add_edge(START, "welcome")
        graph.add_edge("welcome", "call_model")
        app = graph.compile(checkpointer=InMemorySaver())
        config = {"configurable": {"thread_id": THREAD}, "recursion_limit": 1_000}
        try:
            async with store.hold(THREAD):  # no other process may use this thread
                given = {"messages": [HumanMessage(task, id="task")]}
                end = await app.ainvoke(given, config, context=options, durability="sync")
        finally:
            await models.close()
        return str(end["messages"][-1].text)


if __name__ == "__main__":
    print(asyncio.run(run(sys.argv[1], str(Path(sys.argv[2]).resolve()), sys.argv[3])))
