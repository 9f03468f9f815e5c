"""Calls of tools that a server runs only as a task: started, looked at until it is over, its result fetched."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.types import CallToolResult

NEEDED = "task augmentation"
"""Words of the refusal that says so."""
_MIN_SECONDS = 0.2
_MAX_SECONDS = 5.0
_LIFE_MS = 3_600_000


async def call_as_task(client: "ClientSession", name: str, args: Mapping[str, Any]) -> "CallToolResult":
    """The result of the call. Whoever calls bounds the time. Raises McpError for what the server refuses."""
    from mcp import types

    asked = types.CallToolRequestParams(name=name, arguments=dict(args), task=types.TaskMetadata(ttl=_LIFE_MS))
    request = types.ClientRequest(types.CallToolRequest(params=asked))
    task = (await client.send_request(request, types.CreateTaskResult)).task
    while task.status == "working":
        pause = (task.pollInterval or 1_000) / 1_000
        await asyncio.sleep(min(max(pause, _MIN_SECONDS), _MAX_SECONDS))
        look = types.GetTaskRequest(params=types.GetTaskRequestParams(taskId=task.taskId))
        task = await client.send_request(types.ClientRequest(look), types.GetTaskResult)
    fetch = types.GetTaskPayloadRequest(params=types.GetTaskPayloadRequestParams(taskId=task.taskId))
    return await client.send_request(types.ClientRequest(fetch), types.CallToolResult)
