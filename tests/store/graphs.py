"""A graph shaped like the agent's and token counts, for tests that need real checkpoints."""

import random
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from ml_intern.graph.state import AgentState
from ml_intern.store.store import Store

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


@dataclass(frozen=True)
class Tokens:
    """Token counts of a request."""

    input_tokens: int = 100
    output_tokens: int = 10
    cached_tokens: int = 50
    cache_write_tokens: int = 5
    reasoning_tokens: int = 5


def config(thread_id: str, checkpoint_id: str | None = None) -> Any:
    """Return the config of a thread or of one of its checkpoints."""
    named = {"thread_id": thread_id} | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})
    return {"configurable": named, "recursion_limit": 1_000_000}


def question(text: str, turn: int = 1) -> dict[str, Any]:
    """Return the input of a turn."""
    plan = [{"text": f"Step {number} of the plan, to be checked", "status": "pending"} for number in range(6)]
    return {"messages": [HumanMessage(text, id=f"user-{turn}")], "iteration": 0, "turn": turn, "plan": plan}


class Agent:
    """The loop's four nodes, with a model that calls a tool `iterations` times and asks the user at `ask_at`."""

    def __init__(self, iterations: int, *, ask_at: int = 0, result_bytes: int = 100) -> None:
        self.iterations = iterations
        self.ask_at = ask_at
        self.result_bytes = result_bytes
        self.random = random.Random(1)

    def text(self, size: int) -> str:
        """Return text that hardly compresses."""
        return "".join(self.random.choices(LETTERS, k=size))

    async def call_model(self, state: AgentState) -> dict[str, Any]:
        number = len(state["messages"])
        call = {"name": "bash", "args": {"command": f"python train.py --seed {number}"}, "id": f"call_{self.text(32)}"}
        reply = AIMessage("", id=f"msg_{number:04}{self.text(28)}", tool_calls=[call])
        return {"messages": [reply], "iteration": state["iteration"] + 1, "context_tokens": 600 * number}

    async def doom_check(self, state: AgentState) -> dict[str, Any]:
        return {"recent_calls": [self.text(16)], "guard": {"repeats": 0, "nudges": 0, "empty": 0, "cut": 0}}

    async def approval_interrupt(self, state: AgentState) -> dict[str, Any]:
        if state["iteration"] != self.ask_at:
            return {}
        return {"decisions": {"open": {"type": interrupt({"may": "it?"})}}}

    async def execute_tools(self, state: AgentState) -> dict[str, Any]:
        newest = state["messages"][-1]
        assert isinstance(newest, AIMessage)
        result = self.text(self.result_bytes)
        return {
            "messages": [ToolMessage(result, tool_call_id=newest.tool_calls[0]["id"], id=f"{newest.id}-0", name="bash")]
        }

    def compiled(self, saver: BaseCheckpointSaver[Any]) -> Any:
        """Return the compiled graph with a checkpointer."""

        async def ends(state: AgentState) -> str:
            return END if state["iteration"] >= self.iterations else "call_model"

        graph = StateGraph(AgentState)
        nodes = (self.call_model, self.doom_check, self.approval_interrupt, self.execute_tools)
        for node in nodes:
            graph.add_node(node.__name__, node)
        for earlier, later in zip((START, *(node.__name__ for node in nodes)), nodes, strict=False):
            graph.add_edge(earlier, later.__name__)
        graph.add_conditional_edges("execute_tools", ends, ["call_model", END])
        return graph.compile(checkpointer=saver)


async def write_checkpoints(store: Store, thread_id: str, turns: int) -> None:
    """Run a thread with a few checkpoints but no row in the table of threads."""
    app = Agent(1).compiled(await store.saver())
    for turn in range(1, turns + 1):
        await app.ainvoke(question("go", turn), config(thread_id), durability="sync")
