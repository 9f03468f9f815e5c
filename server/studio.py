"""The entry points in langgraph.json: graph, checkpointer and HTTP application for LangGraph Studio."""

from ml_intern.server.access import app
from ml_intern.server.serving import SERVING, studio_graph

__all__ = ["app", "checkpointer", "graph"]

graph = studio_graph(SERVING)
checkpointer = SERVING.checkpointer
