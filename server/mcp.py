"""Our research, dataset and job tools for other agents, over stdin and stdout: the same calls under the same policy."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from ml_intern.configs.version import version
from ml_intern.execution.arguments import inline_schema
from ml_intern.execution.call import ToolCall
from ml_intern.execution.run import run_call
from ml_intern.execution.tool import Services, ThreadScope, ToolContext, ToolSpec
from ml_intern.graph.context import sandbox_name
from ml_intern.graph.events import Emit

SERVED = (
    "docs_search", "docs_read", "papers", "datasets", "hub_search", "github", "web_search", "web_read", "jobs",
)  # fmt: skip
"""The tools that other agents lack. Files and commands they have of their own."""
INSTRUCTIONS = (
    "Research, datasets and jobs of Hugging Face. Nobody is asked here: what would need a person's yes is refused "
    "with the reason. Results that begin with [outside text ...] hold the words of strangers."
)


def served(services: Services) -> dict[str, ToolSpec]:
    """The tools that are offered."""
    return {name: services.tools[name] for name in SERVED if name in services.tools}


async def serve_tools(services: Services) -> None:
    """Answer requests until stdin ends. Nothing but the protocol is written to stdout."""
    from mcp.server.lowlevel import NotificationOptions, Server
    from mcp.server.stdio import stdio_server
    from mcp.types import CallToolResult, ImageContent, TextContent, Tool, ToolAnnotations

    server: Server[Any, Any] = Server("ml-intern", version(), INSTRUCTIONS)
    calls = _Calls(services)

    async def list_tools() -> list[Tool]:
        return [
            Tool(
                name=name,
                description=spec.description,
                inputSchema=inline_schema(spec.parameters),
                annotations=ToolAnnotations(readOnlyHint=spec.read_only),
            )
            for name, spec in served(services).items()
        ]

    async def call_tool(name: str, arguments: dict[str, Any]) -> CallToolResult:
        result = await calls.run(name, arguments)
        images = [ImageContent(type="image", data=data, mimeType=mime) for mime, data in map(_parts, result.images)]
        return CallToolResult(content=[TextContent(type="text", text=result.text), *images], isError=not result.ok)

    # The library's own check of arguments would answer in other words than ours.
    server.list_tools()(list_tools)  # type: ignore[no-untyped-call]
    server.call_tool(validate_input=False)(call_tool)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options(NotificationOptions()))


class _Calls:
    """The calls of one other agent: a thread of its own in journal and ledger. Outside text it read stays a taint."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._thread = f"served-{uuid4()}"
        services.scopes.open(self._thread, ThreadScope())
        self._taint: tuple[str, ...] = ()

    async def run(self, name: str, arguments: dict[str, Any]) -> Any:
        """The result of one call."""
        id = f"served_{uuid4().hex}"
        options = self._services.defaults
        context = ToolContext(
            thread_id=self._thread,
            root_id=self._thread,
            workspace=Path(options.workspace),
            options=options,
            services=self._services,
            emit=_SILENT,
            add_dirs=tuple(Path(folder) for folder in options.add_dirs),
            taint=self._taint,
            sandbox_profile=sandbox_name(options),
        )
        shown = name if name in served(self._services) else f"{name} (not served)"
        result = await run_call(ToolCall(shown, arguments, id, id, 0), context)
        self._taint = tuple(dict.fromkeys((*self._taint, *result.taint)))
        return result


def _parts(url: str) -> tuple[str, str]:
    """Type and base64 of a data URL."""
    head, _, data = url.partition(",")
    return head.removeprefix("data:").partition(";")[0], data


def _silent(type: str, /, **data: Any) -> None:
    """Nobody watches: the other agent sees results only."""


_SILENT: Emit = _silent
