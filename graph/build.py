"""The agent loop.

START ----------.
                v
   before_model? -> [compact] -> call_model -> doom_check -> approval_interrupt -> execute_tools
                ^        ^           |            |-> END            |-> END              |-> END
                |        '- overflow-'            '- correction      |                    |
                '---------------------------------'------------------'--------------------'
   doom_check -> execute_tools -> doom_check: the check of an answer before the turn ends
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from langgraph.graph import END, START, StateGraph

from ml_intern.execution.tool import Services
from ml_intern.graph.context import RunOptions
from ml_intern.graph.state import AgentState
from ml_intern.nodes.approval_interrupt import approval_interrupt, route_approval
from ml_intern.nodes.call_model import call_model, route_model
from ml_intern.nodes.compact import compact, route_compact
from ml_intern.nodes.doom_check import doom_check, route_check
from ml_intern.nodes.execute_tools import execute_tools, route_tools
from ml_intern.nodes.routing import Router, route_start

AgentGraph = StateGraph[AgentState, RunOptions, AgentState, AgentState]


def build_graph(services: Services) -> AgentGraph:
    """Build the graph with its services bound. The caller compiles it with a checkpointer."""
    graph: AgentGraph = StateGraph(AgentState, context_schema=RunOptions)

    def add(node: Callable[..., Any], route: Callable[[AgentState], str], *targets: str) -> None:
        graph.add_node(node.__name__, partial(node, services=services))
        graph.add_conditional_edges(node.__name__, Router(route), list(targets))

    graph.add_conditional_edges(START, Router(route_start), ["compact", "call_model"])
    add(call_model, route_model, "compact", "doom_check", END)
    add(compact, route_compact, "call_model", END)
    add(doom_check, route_check, "approval_interrupt", "execute_tools", "compact", "call_model", END)
    add(approval_interrupt, route_approval, "execute_tools", "compact", "call_model", END)
    add(execute_tools, route_tools, "doom_check", "compact", "call_model", END)
    return graph
