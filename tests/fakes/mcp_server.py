"""A stdio MCP server with one tool."""

from mcp.server.fastmcp import FastMCP

server = FastMCP("fake")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


if __name__ == "__main__":
    server.run("stdio")
