"""An MCP server over stdin and stdout: research, dataset and job tools for other agents, under the same policy."""

from typing import Any

from ml_intern.configs.version import version
from ml_intern.session.protocol import ToolCaller

SERVED = (
    "docs_search", "docs_read", "papers", "datasets", "hub_search", "github", "web_search", "web_read", "jobs",
)  # fmt: skip
"""The served tools. Other agents have their own tools for files and commands."""
INSTRUCTIONS = (
    "Research, datasets and Hugging Face jobs. Calls that need a user's approval are refused with the reason. Results "
    "that begin with [outside text ...] contain untrusted text."
)


async def serve_tools(caller: ToolCaller) -> None:
    """Answer requests until stdin ends. Only the protocol is written to stdout."""
    from mcp.server.lowlevel import NotificationOptions, Server
    from mcp.server.stdio import stdio_server
    from mcp.types import CallToolResult, ImageContent, TextContent, Tool, ToolAnnotations

    server: Server[Any, Any] = Server("ml-intern", version(), INSTRUCTIONS)

    async def list_tools() -> list[Tool]:
        return [
            Tool(
                name=tool.name,
                description=tool.description,
                inputSchema=dict(tool.parameters),
                annotations=ToolAnnotations(readOnlyHint=tool.read_only),
            )
            for tool in caller.tools()
        ]

    async def call_tool(name: str, arguments: dict[str, Any]) -> CallToolResult:
        answer = await caller.call(name, arguments)
        images = [ImageContent(type="image", data=data, mimeType=mime) for mime, data in map(_parts, answer.images)]
        return CallToolResult(content=[TextContent(type="text", text=answer.text), *images], isError=not answer.ok)

    # The tools check their arguments themselves; the library's check would return a different message.
    server.list_tools()(list_tools)  # type: ignore[no-untyped-call]
    server.call_tool(validate_input=False)(call_tool)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options(NotificationOptions()))


def _parts(url: str) -> tuple[str, str]:
    """Split a data URL into its MIME type and its base64 data."""
    head, _, data = url.partition(",")
    return head.removeprefix("data:").partition(";")[0], data
