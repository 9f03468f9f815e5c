"""An OpenAI-compatible model server on loopback: scripted replies, every fault, and a record of what it was asked."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.served import Served

FRAGMENT = 7
"""Characters of text or arguments in one chunk."""


@dataclass(frozen=True)
class Call:
    """A tool call of a reply; `arguments` as the raw text that is sent."""

    name: str
    arguments: str = "{}"
    id: str | None = "call_1"


@dataclass(frozen=True)
class Reply:
    """What the server answers to one request."""

    text: str = ""
    reasoning: str = ""
    calls: Sequence[Call] = ()
    finish: str | None = ""
    """"" is what fits; None ends the stream without a finish_reason and without [DONE]."""
    usage: Mapping[str, Any] | None = field(default_factory=lambda: {"prompt_tokens": 20, "completion_tokens": 5})
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    """Sent as it is instead of a reply; its content type comes from the headers."""
    pieces: Callable[[], Iterator[bytes]] | None = None
    """Sent one after the other with a pause of 50 ms, instead of a reply."""
    cut_after: int | None = None
    """Break the connection after so many chunks."""
    stall_after: int | None = None
    """Send so many chunks and then nothing more."""
    hold_after: int | None = None
    """Send so many chunks, and the others when the server is released."""
    error_after: int | None = None
    """Send so many chunks and then an error event."""
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Merged into the delta of the first chunk."""
    one_index: bool = False
    """All calls at once with index 0, as some servers do."""

    @property
    def finish_reason(self) -> str | None:
        return ("tool_calls" if self.calls else "stop") if self.finish == "" else self.finish


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    """An error answer in OpenAI's shape; header names with underscores for dashes."""
    body = json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers={"content-type": "application/json", **named}, body=body)


@dataclass(frozen=True)
class Asked:
    """A request the server received."""

    path: str
    headers: Mapping[str, str]
    json: dict[str, Any]
    body: bytes = b""


class FakeModelServer(Served):
    """Use as a context manager. `say` queues replies; when none is left, `default` answers."""

    def __init__(self, default: Reply | Callable[[dict[str, Any]], Reply] = Reply(text="ok"), port: int = 0) -> None:
        self.default = default
        self.asked: list[Asked] = []
        self.models: list[dict[str, Any]] | None = [{"id": "fake", "object": "model"}]
        """What it lists; None is a 503."""
        self.refused = 0
        """The status with which it refuses to list them; 0 lists them."""
        self.listed = 0
        """How often it was asked for its models."""
        self.pages: dict[str, Any] = {}
        """Further JSON to be read, by path from the root: what a server says in its own words."""
        self.hung_up = threading.Event()
        """Set when a client left in the middle of a reply."""
        self.arrived = threading.Event()
        """Set with each request."""
        self.released = threading.Event()
        """Set it to let a reply that is held go on."""
        self._queue: list[Reply] = []
        super().__init__(self._app(), date_header=False, port=port)

    @property
    def url(self) -> str:
        """The base URL, ending in /v1."""
        return f"http://{self.host}/v1"

    def say(self, *replies: Reply) -> None:
        """Answer the next requests with these."""
        self._queue.extend(replies)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/moved/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/messages", self._complete, methods=["POST"]),
                Route("/v1/models", self._list, methods=["GET"]),
                Route("/{path:path}", self._page, methods=["GET"]),
            ]
        )

    async def _list(self, request: Request) -> Response:
        self.listed += 1
        if self.models is None:
            return Response(status_code=503)
        if self.refused:
            return JSONResponse({"error": {"message": "no"}}, self.refused)
        return JSONResponse({"object": "list", "data": self.models})

    async def _page(self, request: Request) -> Response:
        found = self.pages.get(request.url.path)
        return Response(status_code=404) if found is None else JSONResponse(found)

    async def _complete(self, request: Request) -> Response:
        asked = Asked(request.url.path, dict(request.headers), await request.json(), await request.body())
        self.asked.append(asked)
        reply = self._queue.pop(0) if self._queue else self._fallback(asked.json)
        self.arrived.set()
        if reply.pieces is not None:
            return StreamingResponse(self._trickle(reply), reply.status, dict(reply.headers), "text/event-stream")
        if reply.body is not None:
            return Response(reply.body, reply.status, dict(reply.headers))
        if asked.json.get("stream"):
            frames = messages_frames(reply) if asked.path.endswith("/messages") else chat_frames(reply)
            stream = self._stream(reply, frames)
            return StreamingResponse(stream, reply.status, dict(reply.headers), "text/event-stream")
        if reply.cut_after is not None or reply.stall_after is not None:
            return self._half(reply)
        return Response(json.dumps(whole(reply)), reply.status, dict(reply.headers), "application/json")

    async def _trickle(self, reply: Reply) -> AsyncIterator[bytes]:
        for piece in reply.pieces() if reply.pieces else ():
            yield piece
            await asyncio.sleep(0.05)

    def _half(self, reply: Reply) -> Response:
        """The first half of a reply that is not streamed, then a cut or silence."""
        content = json.dumps(whole(reply)).encode()

        async def body() -> AsyncIterator[bytes]:
            yield content[: len(content) // 2]
            if reply.cut_after is not None:
                raise ConnectionAbortedError
            await asyncio.sleep(60)

        return StreamingResponse(body(), headers={"content-length": str(len(content))}, media_type="application/json")

    def _fallback(self, asked: dict[str, Any]) -> Reply:
        return self.default(asked) if callable(self.default) else self.default

    async def _pause(self, reply: Reply, sent: int) -> None:
        if sent == reply.stall_after:
            await asyncio.sleep(60)
        if sent == reply.hold_after:
            await asyncio.to_thread(self.released.wait, 60)
            self.released.clear()

    async def _stream(self, reply: Reply, frames: Sequence[bytes]) -> AsyncIterator[bytes]:
        sent = 0
        try:
            for frame in [*frames, b""]:
                if sent == reply.cut_after:
                    raise ConnectionAbortedError
                await self._pause(reply, sent)
                if sent == reply.error_after:
                    yield event({"error": {"message": "the engine died", "type": "internal_error"}})
                    return
                if frame:
                    yield frame
                sent += 1
        except (asyncio.CancelledError, GeneratorExit):
            self.hung_up.set()
            raise


def event(data: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def chat_frames(reply: Reply) -> list[bytes]:
    """The events of a streamed chat completion."""
    return [*map(event, chunks(reply)), *([] if reply.finish is None else [b"data: [DONE]\n\n"])]


def messages_frames(reply: Reply) -> list[bytes]:
    """The events of a streamed reply of Anthropic's Messages API."""
    from tests.fakes.anthropic_stream import messages_event, messages_events

    return [*map(messages_event, messages_events(reply))]


def chunks(reply: Reply) -> list[dict[str, Any]]:
    """The chunks of a streamed reply: role, reasoning, text, the calls in interleaved fragments, the end, the usage."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", **reply.fields}]
    deltas += [{"reasoning_content": piece} for piece in pieces(reply.reasoning)]
    deltas += [{"content": piece} for piece in pieces(reply.text)]
    deltas += call_deltas(reply)
    found = [chunk({"index": 0, "delta": delta, "finish_reason": None}) for delta in deltas]
    if reply.finish_reason is not None:
        found.append(chunk({"index": 0, "delta": {}, "finish_reason": reply.finish_reason}))
    if reply.usage is not None and reply.finish is not None:
        found.append({**chunk(), "usage": dict(reply.usage)})
    return found


def chunk(*choices: dict[str, Any]) -> dict[str, Any]:
    """The envelope of a chunk."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake",
        "choices": list(choices),
    }


def call_deltas(reply: Reply) -> list[dict[str, Any]]:
    """Each call's head, then the fragments of all arguments in turn."""
    if reply.one_index:
        return [{"tool_calls": [whole_call(call, 0)]} for call in reply.calls]
    heads = [{"tool_calls": [{**whole_call(call, place), "function": {"name": call.name, "arguments": ""}}]}
             for place, call in enumerate(reply.calls)]  # fmt: skip
    rows = [pieces(call.arguments) for call in reply.calls]
    body = [
        {"tool_calls": [{"index": place, "function": {"arguments": row[turn]}}]}
        for turn in range(max(map(len, rows), default=0))
        for place, row in enumerate(rows)
        if turn < len(row)
    ]
    return [*heads, *body]


def whole_call(call: Call, index: int) -> dict[str, Any]:
    """A call as one object."""
    identity = {} if call.id is None else {"id": call.id}
    return {
        "index": index,
        **identity,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def whole(reply: Reply) -> dict[str, Any]:
    """A reply that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, **reply.fields}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [whole_call(call, place) for place, call in enumerate(reply.calls)]
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    usage = {} if reply.usage is None else {"usage": dict(reply.usage)}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [choice],
        **usage,
    }


def pieces(text: str) -> list[str]:
    """`text` in fragments."""
    return [text[start : start + FRAGMENT] for start in range(0, len(text), FRAGMENT)]
