"""The library's session, extended by cancellation of tool calls and by calls that a server runs only as a task."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from mcp import ClientSession
from mcp.types import CallToolRequest, CancelledNotification, CancelledNotificationParams, ClientNotification

if TYPE_CHECKING:
    from mcp.types import CallToolResult

NOTIFY_SECONDS = 1.0
"""Time limit for the notification: the server may not be reading."""


class Client(ClientSession):
    """A session that notifies the server when a tool call is cancelled."""

    async def send_request(self, request: Any, *args: Any, **more: Any) -> Any:
        """Send a request and wait for its response; see BaseSession."""
        number = self._request_id
        try:
            return await super().send_request(request, *args, **more)
        except asyncio.CancelledError:
            if isinstance(request.root, CallToolRequest):
                await self._notify_cancelled(number)
            raise

    async def _notify_cancelled(self, number: int) -> None:
        params = CancelledNotificationParams(requestId=number, reason="the call was cancelled")
        notification = ClientNotification(CancelledNotification(params=params))
        with (
            anyio.move_on_after(NOTIFY_SECONDS, shield=True),
            suppress(anyio.BrokenResourceError, anyio.ClosedResourceError),
        ):
            await self.send_notification(notification)


NEEDED = "task augmentation"
"""Part of the error message of a server that requires a task."""
_MIN_SECONDS = 0.2
_MAX_SECONDS = 5.0
_LIFE_MS = 3_600_000


async def call_as_task(client: "ClientSession", name: str, args: Mapping[str, Any]) -> "CallToolResult":
    """Run the tool as a task, poll until it ends and return its result. The caller limits the time. Raises McpError."""
    from mcp import types

    params = types.CallToolRequestParams(name=name, arguments=dict(args), task=types.TaskMetadata(ttl=_LIFE_MS))
    request = types.ClientRequest(types.CallToolRequest(params=params))
    task = (await client.send_request(request, types.CreateTaskResult)).task
    while task.status == "working":
        pause = (task.pollInterval or 1_000) / 1_000
        await asyncio.sleep(min(max(pause, _MIN_SECONDS), _MAX_SECONDS))
        poll = types.GetTaskRequest(params=types.GetTaskRequestParams(taskId=task.taskId))
        task = await client.send_request(types.ClientRequest(poll), types.GetTaskResult)
    fetch = types.GetTaskPayloadRequest(params=types.GetTaskPayloadRequestParams(taskId=task.taskId))
    return await client.send_request(types.ClientRequest(fetch), types.CallToolResult)
