"""The registry of tools: the built-in ones and those of packages with the entry point group `ml_intern.tools`."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint
from typing import Any

from ml_intern.configs.errors import ConfigurationError
from ml_intern.configs.version import plugins
from ml_intern.execution.arguments import inline_schema
from ml_intern.execution.tool import ToolSpec
from ml_intern.tools.compute.experiments import experiments
from ml_intern.tools.compute.improve import improve
from ml_intern.tools.compute.jobs import jobs
from ml_intern.tools.compute.sandbox import sandbox
from ml_intern.tools.datasets.datasets import datasets
from ml_intern.tools.docs.docs_read import docs_read
from ml_intern.tools.docs.docs_search import docs_search
from ml_intern.tools.github.github import github
from ml_intern.tools.hub.hub_repos import hub_repos
from ml_intern.tools.hub.hub_search import hub_search
from ml_intern.tools.local.bash import bash
from ml_intern.tools.local.edit import edit
from ml_intern.tools.local.read import read
from ml_intern.tools.local.write import write
from ml_intern.tools.notebooks.notebook import notebook
from ml_intern.tools.notify import notify
from ml_intern.tools.papers.papers import papers
from ml_intern.tools.plan import plan
from ml_intern.tools.remember import remember
from ml_intern.tools.research.research import research
from ml_intern.tools.web.web_read import web_read
from ml_intern.tools.web.web_search import web_search

ENTRY_POINTS = "ml_intern.tools"
ESSENTIAL = ("bash", "read", "write", "edit", "plan")
"""The tools an agent needs; only these and tools of clients are offered to a model with a small context window."""
SCHEMA_DIVISOR = 4
"""The tool schemas may use at most the context window divided by this."""
_MODULES_OF_0_1 = ("tools", "graph", "configs", "models", "nodes", "outbound", "safety", "store", "terminal")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
BUILTIN = (
    bash,
    read,
    write,
    edit,
    plan,
    notebook,
    research,
    docs_search,
    docs_read,
    papers,
    datasets,
    hub_search,
    hub_repos,
    github,
    web_search,
    web_read,
    sandbox,
    notify,
    remember,
    experiments,
    jobs,
    improve,
)


def create_builtin_tools() -> dict[str, ToolSpec]:
    """Return every tool by name: first the built-in ones, then those of packages.

    Raises:
        ConfigurationError: an entry point cannot be loaded, is not a tool, or has the name of another tool.
    """
    tools = {spec.name: spec for spec in BUILTIN}
    for entry in plugins(ENTRY_POINTS):
        spec = _load(entry)
        if spec.name in tools:
            raise ConfigurationError(
                f"{_describe(entry)} adds another tool named {spec.name}", "rename it, or uninstall it"
            )
        tools[spec.name] = spec
    return tools


def _load(entry: EntryPoint) -> ToolSpec:
    try:
        spec = entry.load()
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigurationError(f"{_describe(entry)} cannot be loaded: {reason}", _remedy(error)) from error
    if not isinstance(spec, ToolSpec):
        raise ConfigurationError(f"{_describe(entry)} is not a tool", "decorate the function with @tool()")
    if not _NAME.fullmatch(spec.name):
        raise ConfigurationError(f"{_describe(entry)} has the name {spec.name!r}", "use only letters, digits, _ and -")
    return spec


def _remedy(error: BaseException) -> str:
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] in _MODULES_OF_0_1:
        return "it was written for version 0.1: change its imports to `from ml_intern.tools import ...`"
    if isinstance(error, TypeError) and "'reach'" in str(error):
        return "it was written for version 0.1: `reach` is now `effects`, and `Reach` is `ExternalEffects`"
    return "fix it, or uninstall it"


def _describe(entry: EntryPoint) -> str:
    return f"the tool {entry.name} of the package {entry.dist.name if entry.dist else entry.module}"


def select_for_window(tools: Mapping[str, ToolSpec], window: int | None) -> Mapping[str, ToolSpec]:
    """Return the tools to offer with a context window of `window` tokens: all, or the essential ones if it is small."""
    if not window or sum(_characters(*tool) for tool in tools.items()) // 4 * SCHEMA_DIVISOR <= window:
        return tools
    return {name: spec for name, spec in tools.items() if name in ESSENTIAL or spec.essential} or tools


@lru_cache(maxsize=512)
def _characters(name: str, spec: ToolSpec) -> int:
    return len(json.dumps(openai_schemas({name: spec})))


def openai_schemas(tools: Mapping[str, ToolSpec]) -> list[dict[str, Any]]:
    """Return the tools as OpenAI function schemas, in a stable order."""
    return [
        {
            "type": "function",
            "function": {"name": name, "description": spec.description, "parameters": inline_schema(spec.parameters)},
        }
        for name, spec in tools.items()
    ]
