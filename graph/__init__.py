"""The agent's state machine: the graph itself (build.py) and the types of its state, context, events and operations.

`build_graph` is also exported here. It is loaded on first use, because most importers need only a type.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_intern.graph.build import build_graph

__all__ = ["build_graph"]


def __getattr__(name: str) -> Any:
    if name != "build_graph":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("ml_intern.graph.build").build_graph
