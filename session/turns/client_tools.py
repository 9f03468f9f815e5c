"""Tools that clients of a session offer: functions in the client's own process, called over its connection."""

import asyncio
import math
import re
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, cast
from uuid import uuid4

from ml_intern.configs.errors import UsageError
from ml_intern.execution.call import ToolError, ToolResult, failure
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.graph.events import Emit
from ml_intern.graph.operations import Disconnected, OfferedTool, OfferTools, ToolReply
from ml_intern.tools.mcp.offer import PREFIX, described, parameters_of

_NAME = re.compile(rf"(?!{PREFIX}__)[A-Za-z0-9_-]{{1,64}}")
MAX_TIMEOUT_S = 86_400.0


class ClientTools:
    """The tools of all clients by name, and their calls without a result."""

    def __init__(self, emit: Emit, others: Mapping[str, ToolSpec]) -> None:
        self.changed: Callable[[], None] = lambda: None
        """Called when the tools have changed."""
        self._emit = emit
        self._others = others
        self._specs: dict[str, ToolSpec] = {}
        self._owners: dict[str, str] = {}
        """The client of each tool."""
        self._connected: set[str] = set()
        self._waiting: dict[str, tuple[str, asyncio.Future[ToolReply]]] = {}
        """The client and the future result of each call, by the id of the request."""

    def with_others(self) -> Mapping[str, ToolSpec]:
        """Return all tools of the session: the tools of clients at each time, and the others."""
        return ChainMap(self._specs, cast(MutableMapping[str, ToolSpec], self._others))  # writes go to the first one

    def take(self, operation: OfferTools | ToolReply | Disconnected) -> None:
        """Perform an operation. Raises UsageError."""
        match operation:
            case OfferTools():
                self._offer(operation)
            case ToolReply():
                self._answer(operation)
            case Disconnected():
                self._disconnect(operation.client)

    def _offer(self, offer: OfferTools) -> None:
        specs = {tool.name: self._spec(tool, offer.by) for tool in offer.tools}
        for name in [name for name, owner in self._owners.items() if owner == offer.by]:
            del self._owners[name], self._specs[name]
        self._specs |= specs
        self._owners |= dict.fromkeys(specs, offer.by)
        self._connected.add(offer.by)
        self.changed()

    def _answer(self, result: ToolReply) -> None:
        _, future = self._waiting.get(result.id, ("", None))
        if future is None or future.done():
            raise UsageError(f"no call waits for the result {result.id[:100]!r}", "it ended, or has a result already")
        future.set_result(result)

    def _disconnect(self, client: str) -> None:
        self._connected.discard(client)
        for owner, future in self._waiting.values():
            if owner == client and not future.done():
                problem = "the program that offers it ended its connection during the call; it may have run in part"
                future.set_exception(ToolError(problem))

    def _spec(self, tool: OfferedTool, client: str) -> ToolSpec:
        """Return the spec of a tool. Raises UsageError if it is not valid."""
        offer = described("", tool.name, tool.description, tool.parameters)
        if not _NAME.fullmatch(tool.name) or offer is None or not offer.description:
            rules = "a name of letters, digits, _ and -, a description, and a JSON schema of an object as parameters"
            raise UsageError(f"the tool {tool.name[:100]!r} is not valid", f"a tool needs {rules}")
        if not 0 < tool.timeout_s <= MAX_TIMEOUT_S or math.isnan(tool.timeout_s):
            raise UsageError(f"the time limit of the tool {tool.name} is not valid", "give between 0 and 86400 seconds")
        if tool.name in self._others or self._owners.get(tool.name, client) in self._connected - {client}:
            raise UsageError(f"there is already a tool {tool.name}", "give it another name")

        async def handler(args: Any, context: ToolContext) -> ToolResult:
            return await self._call(tool.name, client, args.arguments, context)

        return ToolSpec(
            name=tool.name,
            description=offer.description,
            parameters=parameters_of(offer),
            handler=handler,
            read_only=tool.read_only,
            asks=not tool.read_only,
            timeout=tool.timeout_s,
            path_args=(),
            essential=True,
        )

    async def _call(self, name: str, client: str, args: Mapping[str, Any], context: ToolContext) -> ToolResult:
        if client not in self._connected:
            raise ToolError("the program that offers it is not connected; continue without it, or ask the user")
        id, future = uuid4().hex, asyncio.get_running_loop().create_future()
        self._waiting[id] = client, future
        try:
            emit = self._emit if context.options.child else context.emit
            emit("tool_request", id=id, call_id=context.call_id, name=name, args=dict(args))
            result: ToolReply = await future
        finally:
            del self._waiting[id]
        return ToolResult(result.text, taint=result.sources) if result.ok else failure(result.text)
