"""All servers of a session: each connects by itself, the tools of those that answer stand beside the built-in ones."""

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
from ml_intern.tools.mcp.offer import Offer, offer_of, parameters_of

if TYPE_CHECKING:
    from ml_intern.tools.mcp.connection import Connection
    from ml_intern.tools.mcp.pins import Pins

NO_TOKEN = "no Hugging Face token: set HF_TOKEN, or sign in with `hf auth login`"  # noqa: S105 words, no password
_QUOTED = 300


class Servers:
    """The servers that settings name. `specs` holds the tools of those that are connected, and follows them."""

    def __init__(self, servers: Mapping[str, McpServer], home: Path, taken: Iterable[str] = ()) -> None:
        self.off = {name: why for name, server in servers.items() if (why := _off(server))}
        """Servers that are not used, with the reason."""
        self.specs: dict[str, ToolSpec] = {}
        self._servers = servers
        self._taken = frozenset(taken)
        self._home = home
        self._pins: Pins | None = None
        self._connections: dict[str, Connection] = {}
        self._left_out: dict[str, int] = {}
        self.offers: dict[str, dict[str, Offer]] = {}
        self._told: tuple[str, ...] = ()

    def start(self) -> None:
        """Begin to connect to every server that is on. Without one nothing is loaded."""
        on = [name for name in self._servers if name not in self.off]
        if not on:
            return
        from ml_intern.tools.mcp.connection import Connection
        from ml_intern.tools.mcp.pins import Pins

        self._pins = Pins(self._home)
        for name in on:
            self._connections[name] = Connection(name, self._servers[name], self._take)
            self._connections[name].start()

    async def settled(self) -> bool:
        """Wait until each server is connected or known not to be; whether tools or problems are new since the last."""
        waiting = [connection.opened() for connection in self._connections.values()]
        await asyncio.gather(*waiting)
        before, self._told = self._told, (*self.specs, *self.problems())
        return self._told != before

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    def states(self) -> list[ServerState]:
        """How each server stands."""
        return [self._state(name, server) for name, server in self._servers.items()]

    def problems(self) -> list[str]:
        """A line for each server that is on and not there, and for what was left out of the others."""
        found = [f"MCP server {one.name}: {one.why}" for one in self.states() if one.status in ("failed", "ended")]
        left = [
            f"MCP server {name}: {plural(count, 'tool')} left out" for name, count in self._left_out.items() if count
        ]
        return [*found, *left]

    async def accept(self, name: str) -> None:
        """Agree to what a server says of its tools now."""
        offers = self.offers.get(name, {})
        if self._pins is not None and offers:
            await self._pins.accept(*offers.values())
            await self._take(self._connections[name])

    def _state(self, name: str, server: McpServer) -> ServerState:
        where = server.url or " ".join([server.command or "", *server.args])
        if name in self.off:
            return ServerState(name, where, "off", self.off[name])
        connection = self._connections[name]
        offers = self.offers.get(name, {}).values()
        changed = tuple(one.name for one in offers if self._is_changed(one))
        offered = tuple(one.name for one in offers)
        return ServerState(name, where, connection.status, connection.problem, offered, changed)

    async def _take(self, connection: "Connection") -> None:
        """The tools that a server has now."""
        if self._pins is None:
            return
        found = [offer_of(connection.name, tool) for tool in connection.tools.values()]
        fit = [one for one in found if one is not None]
        await self._pins.keep_new(fit)
        others = {name for server, offers in self.offers.items() if server != connection.name for name in offers}
        taken = self._taken | others
        offers = {one.name: one for one in fit if one.name not in taken}
        self._left_out[connection.name] = len(found) - len(offers)
        for gone in self.offers.get(connection.name, {}).keys() - offers.keys():
            self.specs.pop(gone, None)
        self.offers[connection.name] = offers
        self.specs.update({name: self._spec(one, connection) for name, one in offers.items()})

    def _spec(self, offer: Offer, connection: "Connection") -> ToolSpec:
        """The tool as the loop knows it: asked about, its results a stranger's words, run at most once."""
        changed = self._is_changed(offer)

        async def handler(args: Any, context: ToolContext) -> ToolResult:
            from ml_intern.tools.mcp.answer import result_of

            if context.approved and changed and self._pins is not None:
                await self._pins.accept(offer)
                self.specs[offer.name] = self._spec(offer, connection)
            return result_of(await connection.call(offer.tool, args.arguments), offer.server)

        async def reach(_: Mapping[str, Any], __: ToolContext) -> ExternalEffects:
            return ExternalEffects((f"mcp:{offer.server}",))

        def warning() -> str:
            said = f"the server {offer.server} changed what it says of this tool, now: {offer.description[:_QUOTED]!r}"
            return said if self._is_changed(offer) else ""

        told = "Its description changed and the user has not agreed to the new one." if changed else offer.description
        return ToolSpec(
            name=offer.name,
            description=told or f"The tool {offer.tool} of the server {offer.server}.",
            parameters=parameters_of(offer, wordless=changed),
            handler=handler,
            timeout=None,
            path_args=(),
            effects=reach,
            warning=warning,
        )

    def _is_changed(self, offer: Offer) -> bool:
        return self._pins is not None and self._pins.changed(offer)


def _off(server: McpServer) -> str:
    if not server.enabled:
        return "turned off"
    return NO_TOKEN if server.is_http and needs_token(server) else ""


@asynccontextmanager
async def open_servers(
    servers: Mapping[str, McpServer], home: Path, builtin: Mapping[str, ToolSpec]
) -> AsyncIterator[tuple[Servers, Mapping[str, ToolSpec]]]:
    """The servers, connecting, and all tools: the built-in ones first, which no server replaces."""
    found = Servers(servers, home, builtin)
    found.start()
    try:
        yield found, ChainMap(found.specs, dict(builtin))
    finally:
        await found.close()
