"""ml-intern: an autonomous ML engineer for the terminal. Folders of the repository are linked here as subpackages."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_intern.agent import Agent as Agent
    from ml_intern.agent import AgentError as AgentError
    from ml_intern.agent import SyncAgent as SyncAgent
    from ml_intern.functions import Tool as Tool

    __version__: str
    """The installed version, read from the package's metadata on first use."""

_CLIENT = {"Agent": "agent", "AgentError": "agent", "SyncAgent": "agent", "Tool": "functions"}
"""The public names by module."""


def __getattr__(name: str) -> Any:
    if name in _CLIENT:
        return getattr(import_module(f"ml_intern.{_CLIENT[name]}"), name)
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("ml_intern.configs.version").version()
