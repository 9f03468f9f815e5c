"""All tools: the built-in ones and those that installed packages add by the entry point group `ml_intern.tools`."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from configs.errors import ConfigurationError
from graph.context import RunOptions
from tools.arguments import schema_of
from tools.base import ToolSpec
from tools.bash import bash
from tools.edit import edit
from tools.plan import plan
from tools.read import read
from tools.write import write

ENTRY_POINTS = "ml_intern.tools"
BUILTIN = (bash, read, write, edit, plan)


def create_builtin_tools() -> dict[str, ToolSpec]:
    """Every tool by its name, the users' own after ours.

    Raises:
        ConfigurationError: an entry point names no ToolSpec, or a tool with the name of another one.
    """
    tools = {spec.name: spec for spec in BUILTIN}
    for entry in entry_points(group=ENTRY_POINTS):
        spec = entry.load()
        if not isinstance(spec, ToolSpec):
            raise ConfigurationError(f"the entry point {entry.name} is no tool", "decorate the function with @tool()")
        if spec.name in tools:
            raise ConfigurationError(
                f"the entry point {entry.name} adds a second tool {spec.name}", "give it another name, or uninstall it"
            )
        tools[spec.name] = spec
    return tools


def offered(tools: Mapping[str, ToolSpec], options: RunOptions) -> dict[str, ToolSpec]:
    """The tools of a run: all, or those its options name."""
    return {name: spec for name, spec in tools.items() if not options.tool_names or name in options.tool_names}


def openai_schemas(tools: Mapping[str, ToolSpec]) -> list[dict[str, Any]]:
    """The tools as OpenAI function schemas, in a stable order."""
    return [
        {
            "type": "function",
            "function": {"name": name, "description": spec.description, "parameters": schema_of(spec.parameters)},
        }
        for name, spec in tools.items()
    ]
