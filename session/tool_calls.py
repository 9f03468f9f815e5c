"""Calls tools without a model for other agents, with the same policy and journal as a session."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from ml_intern.execution.arguments import inline_schema
from ml_intern.execution.call import ToolCall
from ml_intern.execution.calls import silent, tool_context
from ml_intern.execution.run import run_call
from ml_intern.execution.tool import Services, ThreadScope, ToolSpec
from ml_intern.graph.context import RunOptions
from ml_intern.models.gateway import Models
from ml_intern.session.opening.store import open_store
from ml_intern.session.protocol import ToolAnswer, ToolInfo
from ml_intern.tools.registry import create_builtin_tools


@asynccontextmanager
async def open_tool_caller(options: RunOptions, names: Collection[str]) -> AsyncIterator["LocalToolCaller"]:
    """Open the named tools for another agent."""
    async with open_store() as store:
        models = Models(store.ledger)
        try:
            yield LocalToolCaller(Services(models, create_builtin_tools(), store, options), names)
        finally:
            await models.close()


class LocalToolCaller:
    """Calls the tools for one agent. Journal, ledger, taint and the files read belong to one thread per agent."""

    def __init__(self, services: Services, names: Collection[str]) -> None:
        self._services = services
        self._names = names
        self._thread = f"served-{uuid4()}"
        self._taint: tuple[str, ...] = ()
        self._file_reads: dict[str, str] = {}
        services.scopes.open(self._thread, ThreadScope())

    def tools(self) -> Sequence[ToolInfo]:
        """Return the tools that can be called."""
        return [tool_info(spec) for name, spec in self._services.tools.items() if name in self._names]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        """Call a tool under policy and journal. A failed call is returned, not raised."""
        id = f"served_{uuid4().hex}"
        state: Any = {"taint": list(self._taint), "file_reads": self._file_reads}
        context = tool_context(state, self._thread, self._services.defaults, self._services, silent)
        called = name if name in self._names else f"{name} (not served)"
        result = await run_call(ToolCall(called, arguments, id, id, 0), context)
        self._taint = tuple(dict.fromkeys((*self._taint, *result.taint)))
        self._file_reads |= result.file_reads
        return ToolAnswer(result.text, result.ok, result.images)


def tool_info(spec: ToolSpec) -> ToolInfo:
    """Return the description of a tool for clients."""
    return ToolInfo(spec.name, spec.description, spec.read_only, inline_schema(spec.parameters))
