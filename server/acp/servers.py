"""The MCP servers of an editor as settings of a session."""

import json
import re
from collections.abc import Sequence

from acp.schema import AcpMcpServer, HttpMcpServer, McpServerStdio, SseMcpServer

from ml_intern.configs.errors import UsageError

EditorServer = HttpMcpServer | SseMcpServer | AcpMcpServer | McpServerStdio
MAX_NAME = 40
_OTHER = re.compile(r"[^A-Za-z0-9_-]+")


def server_assignments(servers: Sequence[EditorServer]) -> tuple[str, ...]:
    """Return settings that define these servers, as KEY=VALUE. Raises UsageError for an unknown transport."""
    return tuple(f"mcpServers.{_name(one.name)}={json.dumps(_definition(one))}" for one in servers)


def _name(name: str) -> str:
    """Return the name as the settings accept it, also as a part of a dotted key."""
    return _OTHER.sub("-", name).strip("-_")[:MAX_NAME] or "editor"


def _definition(server: EditorServer) -> dict[str, object]:
    if isinstance(server, McpServerStdio):
        values = {one.name: one.value for one in server.env}
        return {"command": server.command, "args": server.args, "env": values}
    if isinstance(server, HttpMcpServer):
        return {"url": server.url, "headers": {one.name: one.value for one in server.headers}}
    raise UsageError(
        f"the MCP server {server.name} uses a transport that is not supported", "use stdio or streamable HTTP"
    )
