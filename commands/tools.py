"""`tools`: list the tools the model can call."""

from typing import TYPE_CHECKING

from ml_intern.commands.output import Json, columns, print_json, print_lines

if TYPE_CHECKING:
    from ml_intern.execution.tool import ToolSpec


def list_tools(json: Json = False) -> int:
    """List the built-in tools and those of installed packages."""
    from ml_intern.tools.registry import create_builtin_tools

    tools = sorted(create_builtin_tools().values(), key=lambda spec: spec.name)
    if json:
        return print_json(
            [
                {
                    "name": spec.name,
                    "description": spec.description,
                    "read_only": spec.read_only,
                    "may_only_read": spec.reads is not None,
                    "asks": spec.asks,
                    "timeout": spec.timeout,
                    "parameters": spec.parameters.model_json_schema(),
                }
                for spec in tools
            ]
        )
    rows = [(spec.name, _kind(spec), spec.description.partition("\n")[0]) for spec in tools]
    return print_lines(columns([("TOOL", "", "DESCRIPTION"), *rows]))


def _kind(spec: "ToolSpec") -> str:
    if spec.read_only:
        return "reads"
    if not spec.asks:
        return "never asks"
    return "reads or asks" if spec.reads else "asks"
