"""The MCP servers of a session: they connect independently, and their tools join the built-in ones."""

import asyncio
from collections import ChainMap
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.configs.mcp_servers import McpServer
from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import ExternalEffects, ServerState, ToolContext, ToolSpec
from ml_intern.text.formatting import plural
from ml_intern.tools.mcp.http import needs_token
from ml_intern.tools.mcp.offer import Offer, make_offer, parameters_of

if TYPE_CHECKING:
    from ml_intern.tools.mcp.connection import Connection
    from ml_intern.tools.mcp.pins import Pins

NO_TOKEN = "no Hugging Face token: set HF_TOKEN, or sign in with `hf auth login`"  # noqa: S105 a message, not a password
_QUOTED = 300


class Servers:
    """The servers in the settings. `specs` holds the current tools of the connected ones."""

    def __init__(self, servers: Mapping[str, McpServer], home: Path, taken: Iterable[str] = ()) -> None:
        self.off = {name: why for name, server in servers.items() if (why := _off(server))}
        """Disabled servers, with the reason."""
        self.specs: dict[str, ToolSpec] = {}
        self._servers = servers
        self._take_line = frozenset(taken)
        self._home = home
        self._pins: Pins | None = None
        self._connections: dict[str, Connection] = {}
        self._left_out: dict[str, int] = {}
        self.offers: dict[str, dict[str, Offer]] = {}
        self._last_report: tuple[str, ...] = ()

    def start(self) -> None:
        """Start connecting to every enabled server. Without one, the library is not loaded."""
        on = [name for name in self._servers if name not in self.off]
        if not on:
            return
        from ml_intern.tools.mcp.connection import Connection
        from ml_intern.tools.mcp.pins import Pins

        self._pins = Pins(self._home)
        for name in on:
            self._connections[name] = Connection(name, self._servers[name], self._update_tools)
            self._connections[name].start()

    async def settled(self) -> bool:
        """Wait until each server is connected or has failed; return whether tools or problems have changed."""
        waiting = [connection.opened() for connection in self._connections.values()]
        await asyncio.gather(*waiting)
        before, self._last_report = self._last_report, (*self.specs, *self.problems())
        return self._last_report != before

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    def states(self) -> list[ServerState]:
        """Return the state of each server."""
        return [self._state(name, server) for name, server in self._servers.items()]

    def problems(self) -> list[str]:
        """Return a line for each failed server, and for each with tools that were left out."""
        found = [f"MCP server {one.name}: {one.why}" for one in self.states() if one.status in ("failed", "ended")]
        left = [
            f"MCP server {name}: {plural(count, 'tool')} left out" for name, count in self._left_out.items() if count
        ]
        return [*found, *left]

    async def accept(self, name: str) -> None:
        """Accept the current tool descriptions of a server."""
        offers = self.offers.get(name, {})
        if self._pins is not None and offers:
            await self._pins.accept(*offers.values())
            await self._update_tools(self._connections[name])

    def _state(self, name: str, server: McpServer) -> ServerState:
        where = server.url or " ".join([server.command or "", *server.args])
        if name in self.off:
            return ServerState(name, where, "off", self.off[name])
        connection = self._connections[name]
        offers = self.offers.get(name, {}).values()
        changed = tuple(one.name for one in offers if self._is_changed(one))
        offered = tuple(one.name for one in offers)
        return ServerState(name, where, connection.status, connection.problem, offered, changed)

    async def _update_tools(self, connection: "Connection") -> None:
        """Update the tools of a server."""
        if self._pins is None:
            return
        found = [make_offer(connection.name, tool) for tool in connection.tools.values()]
        usable = [one for one in found if one is not None]
        await self._pins.add_new(usable)
        others = {name for server, offers in self.offers.items() if server != connection.name for name in offers}
        taken = self._take_line | others
        offers = {one.name: one for one in usable if one.name not in taken}
        self._left_out[connection.name] = len(found) - len(offers)
        for removed in self.offers.get(connection.name, {}).keys() - offers.keys():
            self.specs.pop(removed, None)
        self.offers[connection.name] = offers
        self.specs.update({name: self._spec(one, connection) for name, one in offers.items()})

    def _spec(self, offer: Offer, connection: "Connection") -> ToolSpec:
        """Return the tool's spec: it needs approval, its results are untrusted, and it runs at most once."""
        changed = self._is_changed(offer)

        async def handler(args: Any, context: ToolContext) -> ToolResult:
            from ml_intern.tools.mcp.answer import to_tool_result

            if context.approved and changed and self._pins is not None:
                await self._pins.accept(offer)
                self.specs[offer.name] = self._spec(offer, connection)
            return to_tool_result(await connection.call(offer.tool, args.arguments), offer.server)

        async def effects(_: Mapping[str, Any], __: ToolContext) -> ExternalEffects:
            return ExternalEffects((f"mcp:{offer.server}",))

        def warning() -> str:
            text = f"the server {offer.server} changed the description of this tool to: {offer.description[:_QUOTED]!r}"
            return text if self._is_changed(offer) else ""

        description = (
            "Its description has changed, and the user has not accepted the new one." if changed else offer.description
        )
        return ToolSpec(
            name=offer.name,
            description=description or f"The tool {offer.tool} of the server {offer.server}.",
            parameters=parameters_of(offer, without_text=changed),
            handler=handler,
            timeout=None,
            path_args=(),
            effects=effects,
            warning=warning,
        )

    def _is_changed(self, offer: Offer) -> bool:
        return self._pins is not None and self._pins.changed(offer)


def _off(server: McpServer) -> str:
    if not server.enabled:
        return "disabled"
    return NO_TOKEN if server.is_http and needs_token(server) else ""


@asynccontextmanager
async def open_servers(
    servers: Mapping[str, McpServer], home: Path, builtin: Mapping[str, ToolSpec]
) -> AsyncIterator[tuple[Servers, Mapping[str, ToolSpec]]]:
    """Start the servers, and yield them with all tools. A server cannot replace a built-in tool."""
    found = Servers(servers, home, builtin)
    found.start()
    try:
        yield found, ChainMap(found.specs, dict(builtin))
    finally:
        await found.close()
