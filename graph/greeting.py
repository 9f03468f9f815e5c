"""What a session says when it opens: the data of `ready`."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from graph.context import RunOptions, Services, sandbox_name
from tools.base import ToolSpec
from tools.registry import fitting, offered


def ready(options: RunOptions, services: Services, notes: Iterable[str]) -> dict[str, Any]:
    """The fields of `ready`; `notes` come after those of the options."""
    lines = services.servers.problems() if services.servers is not None else []
    servers = [line for line in lines if line not in options.notes]
    tools = offered(services.tools, options)
    doubts = [*_doubts(options, services, tools)]
    return {
        "model": options.model,
        "tools": sorted(tools),
        "version": version("ml-intern"),
        "cwd": options.workspace,
        "approval_mode": options.approval_mode,
        "sandbox": sandbox_name(options),
        "max_iterations": options.max_iterations,
        "max_budget_usd": options.max_budget_usd,
        "notes": [*options.notes, *doubts, *servers, *notes],
    }


def _doubts(options: RunOptions, services: Services, tools: Mapping[str, ToolSpec]) -> Iterator[str]:
    """What the model is not good for, as far as it is known now."""
    if services.models.abilities(options.model).tools is False:
        yield f"{options.model} calls no tools, as far as is known: it can only talk"
    window = services.models.window(options.model)
    if window and len(few := fitting(tools, window)) < len(tools):
        yield f"{options.model} has a window of {window:,} tokens: of the tools it gets only {', '.join(few)}"
