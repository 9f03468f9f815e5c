"""ml-intern as a subgraph: a node of yours prepares the task, ml-intern works on it, your checkpointer saves both.

Run: `python examples/subgraph.py MODEL FOLDER TASK`
"""

import asyncio
import sys
from pathlib import Path

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from ml_intern.configs.paths import data_home
from ml_intern.execution.tool import Services, ThreadScope
from ml_intern.graph import build_graph
from ml_intern.graph.context import RunOptions
from ml_intern.graph.state import AgentState
from ml_intern.models.gateway import Models
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools

THREAD = "my-thread"


async def prepare(state: AgentState) -> AgentState:
    """Add what every task of this program needs to the user's message."""
    return {
        "messages": [HumanMessage(f"{state['messages'][-1].text}\n\nReport the metric on the test split.", id="task")]
    }


async def run(model: str, folder: str, task: str) -> str:
    """Run a task and return the answer."""
    async with await Store.open(data_home()) as store:
        models = Models(store.ledger)
        options = RunOptions(model=model, workspace=folder, approval_mode="auto", headless=True)
        services = Services(models, create_builtin_tools(), store, options)
        services.scopes.open(THREAD, ThreadScope())
        graph = StateGraph(AgentState, context_schema=RunOptions)
        graph.add_node("prepare", prepare)
        graph.add_node("engineer", build_graph(services).compile())
        graph.add_edge(START, "prepare")
        graph.add_edge("prepare", "engineer")
        graph.add_edge("engineer", END)
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
