"""What langgraph.json names: the graph for LangGraph Studio and its checkpointer, on the command line's threads."""

from ml_intern.server.access import app
from ml_intern.server.serving import SERVING, studio_graph

__all__ = ["app", "checkpointer", "graph"]

graph = studio_graph(SERVING)
checkpointer = SERVING.checkpointer
