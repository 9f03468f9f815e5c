"""What a session says when it opens: the data of `ready`."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from graph.context import RunOptions, Services, sandbox_name
from tools.registry import offered


def ready(options: RunOptions, services: Services, notes: Iterable[str]) -> dict[str, Any]:
    """The fields of `ready`; `notes` come after those of the options."""
    lines = services.servers.problems() if services.servers is not None else []
    servers = [line for line in lines if line not in options.notes]
    able = services.models.abilities(options.model)
    doubt = [f"{options.model} calls no tools, as far as is known: it can only talk"] if able.tools is False else []
    return {
        "model": options.model,
        "tools": sorted(offered(services.tools, options)),
        "version": version("ml-intern"),
        "cwd": options.workspace,
        "approval_mode": options.approval_mode,
        "sandbox": sandbox_name(options),
        "max_iterations": options.max_iterations,
        "max_budget_usd": options.max_budget_usd,
        "notes": [*options.notes, *doubt, *servers, *notes],
    }
