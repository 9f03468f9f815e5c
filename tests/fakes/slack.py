"""Slack's Web API on loopback, as far as messages go: it keeps what it was sent, and fails as it is told to."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.loopback import Loopback

TOKEN = "xoxb-000000000000-fakeSlackBotToken0001"


class FakeSlack(Loopback):
    """Use as a context manager. `url` is for SLACK_API_URL."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.faults: list[Response] = []
        """Answers to the next requests instead of an acceptance."""
        self.seconds = 0.0
        """How long each answer takes."""
        super().__init__([Route("/chat.postMessage", self._post, methods=["POST"])])

    def limit(self, seconds: int) -> None:
        """Refuse the next message with Retry-After."""
        answer = {"ok": False, "error": "ratelimited"}
        self.faults.append(JSONResponse(answer, 429, {"Retry-After": str(seconds)}))

    def refuse(self, error: str) -> None:
        """Refuse the next message for good."""
        self.faults.append(JSONResponse({"ok": False, "error": error}))

    async def _post(self, request: Request) -> Response:
        await asyncio.sleep(self.seconds)
        if self.faults:
            return self.faults.pop(0)
        self.messages.append(dict(_body(await request.body(), request.headers.get("content-type", ""))))
        return JSONResponse({"ok": True, "channel": self.messages[-1].get("channel"), "ts": "1"})


def _body(raw: bytes, kind: str) -> Mapping[str, Any]:
    return json.loads(raw) if kind.startswith("application/json") else dict(parse_qsl(raw.decode()))
