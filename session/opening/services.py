"""Open the services of a process: models, tools, MCP servers."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ml_intern.configs.env import is_users_thread
from ml_intern.execution.tool import Services
from ml_intern.models.gateway import Models, ModelSettings
from ml_intern.models.transports.base import Timeouts
from ml_intern.runs.backends.hub_sandbox import sandboxes_of
from ml_intern.tools.mcp.servers import open_servers

if TYPE_CHECKING:
    from ml_intern.configs.mcp_servers import McpServer
    from ml_intern.execution.tool import ToolSpec
    from ml_intern.graph.context import RunOptions
    from ml_intern.models.routing import Endpoint
    from ml_intern.store.store import Store


@asynccontextmanager
async def open_services(
    store: "Store",
    options: "RunOptions",
    endpoint: "Endpoint | None",
    servers: "Mapping[str, McpServer]",
    builtin: "Mapping[str, ToolSpec]",
    report: Callable[[str], object] | None = None,
) -> AsyncIterator[Services]:
    """Open the models, and the MCP servers whose tools join the built-in ones.

    Hugging Face sandboxes that these services started are ended with them. `report` gets one line for each.
    """
    waits = Timeouts(patience_s=options.patience_s)
    settings = ModelSettings(options.prices, options.tool_calls == "text", options.transport == "litellm")
    models = Models(store.ledger, endpoint, waits, settings=settings)
    try:
        async with open_servers(servers, store.home, builtin) as (opened, tools):
            try:
                services = Services(models, tools, store, options, opened)
                if is_users_thread():
                    rows = await store.threads.list(options.workspace, children=True)
                    services.scopes.readable = {row.id for row in rows}
                yield services
            finally:
                for line in await sandboxes_of(store).close():
                    if report is not None:
                        report(line)
    finally:
        await models.close()
