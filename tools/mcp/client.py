"""The library's session, which here tells the server of calls whose answer nobody waits for any more."""

import asyncio
from contextlib import suppress
from typing import Any

import anyio
from mcp import ClientSession
from mcp.types import CallToolRequest, CancelledNotification, CancelledNotificationParams, ClientNotification

TELL_SECONDS = 1.0
"""For telling it to a server that may not even read."""


class Client(ClientSession):
    """A session whose tool calls can be cancelled."""

    async def send_request(self, request: Any, *args: Any, **more: Any) -> Any:
        """Send a request and wait for its answer; see BaseSession."""
        number = self._request_id
        try:
            return await super().send_request(request, *args, **more)
        except asyncio.CancelledError:
            if isinstance(request.root, CallToolRequest):
                await self._tell_cancelled(number)
            raise

    async def _tell_cancelled(self, number: int) -> None:
        params = CancelledNotificationParams(requestId=number, reason="its answer is no longer waited for")
        told = ClientNotification(CancelledNotification(params=params))
        with (
            anyio.move_on_after(TELL_SECONDS, shield=True),
            suppress(anyio.BrokenResourceError, anyio.ClosedResourceError),
        ):
            await self.send_notification(told)
