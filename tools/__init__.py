"""The tools the model can call: one file per tool, one folder per family.

This module is also the Python API for tool packages: `from ml_intern.tools import ToolArgs, ToolContext, tool`. The
names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml_intern.execution.call import ToolError, ToolResult
    from ml_intern.execution.tool import ExternalEffects, ToolArgs, ToolContext, ToolSpec, tool

    ToolFault = ToolError
    """The name of ToolError in 0.1."""

__all__ = ["ExternalEffects", "ToolArgs", "ToolContext", "ToolError", "ToolFault", "ToolResult", "ToolSpec", "tool"]
_SOURCES = {
    "ExternalEffects": "ml_intern.execution.tool:ExternalEffects",
    "ToolArgs": "ml_intern.execution.tool:ToolArgs",
    "ToolContext": "ml_intern.execution.tool:ToolContext",
    "ToolError": "ml_intern.execution.call:ToolError",
    "ToolFault": "ml_intern.execution.call:ToolError",
    "ToolResult": "ml_intern.execution.call:ToolResult",
    "ToolSpec": "ml_intern.execution.tool:ToolSpec",
    "tool": "ml_intern.execution.tool:tool",
}


def __getattr__(name: str) -> Any:
    if name not in _SOURCES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _SOURCES[name].partition(":")
    return getattr(import_module(module), attribute)
