"""The data of the event `ready`, with notes about the models of a run."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from ml_intern.configs.version import version
from ml_intern.graph.context import RunOptions, sandbox_name
from ml_intern.tools.registry import select_for_window

if TYPE_CHECKING:
    from ml_intern.execution.tool import Services, ToolSpec


def ready(options: RunOptions, services: "Services", notes: Iterable[str]) -> dict[str, Any]:
    """Return the fields of `ready`. `notes` follow those of the options."""
    lines = services.servers.problems() if services.servers is not None else []
    servers = [line for line in lines if line not in options.notes]
    tools = services.offered(options)
    return {
        "model": options.model,
        "tools": sorted(tools),
        "version": version(),
        "cwd": options.workspace,
        "approval_mode": options.approval_mode,
        "sandbox": sandbox_name(options),
        "max_iterations": options.max_iterations,
        "max_budget_usd": options.max_budget_usd,
        "notes": [*options.notes, *_about_models(options, services, tools), *servers, *notes],
    }


def _about_models(options: RunOptions, services: "Services", tools: "Mapping[str, ToolSpec]") -> Iterator[str]:
    """Yield warnings about known limits of the models."""
    models = services.models
    used = (options.model, options.research_model, options.compact_model, options.fallback_model)
    yield from (str(one) for one in models.retired(used, date.today()))
    if models.abilities(options.model).tools is False:
        yield f"{options.model} does not support tool calling, which ml-intern requires"
    window = models.window(options.model)
    if window and len(few := select_for_window(tools, window)) < len(tools):
        yield f"{options.model} has a context window of {window:,} tokens and gets only these tools: {', '.join(few)}"
