"""OpenAI's chat completions, as OpenAI-compatible endpoints implement them."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import httpx

from ml_intern.models.errors import BadRequest, NotAnApi, ServerError, StreamBroken, detail_of, error_of_detail
from ml_intern.models.messages import Conversion, EncodedTools, encode
from ml_intern.models.openai_format import part_of_chunk, part_of_reply
from ml_intern.models.request import ModelRequest, ReplyPart
from ml_intern.models.routing import Route
from ml_intern.models.transports.base import Trimming
from ml_intern.models.transports.http import read_json, read_out
from ml_intern.models.transports.sse import Body, DoneMark, InvalidEvents, are_events, events

FAILED_ENDS = ("error", "abort")
"""Finish reasons of engines that failed within a reply."""
_RESERVED = frozenset({"model", "messages", "tools", "stream", "stream_options"})


class ChatCompletions:
    """Encodes requests and reads replies."""

    path = "/chat/completions"

    def __init__(self) -> None:
        self._encoded = Conversion(encode)
        self._tools = EncodedTools()

    def body(self, route: Route, request: ModelRequest, trimming: Trimming) -> bytes:
        """Return the body of a request."""
        fields: dict[str, Any] = {"model": route.name, "stream": request.stream}
        fields |= {key: value for key, value in request.params.items() if key not in _RESERVED}
        if request.stream and not trimming.options:
            fields["stream_options"] = {"include_usage": True}
        if request.effort and not trimming.options:
            fields["reasoning_effort"] = request.effort
        tools = self._tools(request.tools)
        messages = b",".join(map(itemgetter(1), self._encoded(request.messages, request.model, trimming)))
        return b'%b%b,"messages":[%b]}' % (encode(fields)[:-1], tools, messages)

    def parts(self, response: httpx.Response, route: Route) -> AsyncIterator[ReplyPart]:
        """Yield the fragments of a reply. Raises the errors of models.errors."""
        return _parts(response, route)


async def _parts(response: httpx.Response, route: Route) -> AsyncIterator[ReplyPart]:
    body, kind = Body(response.aiter_bytes()), response.headers.get("content-type", "")
    if not are_events(await body.start(), kind):
        yield part_of_reply(await _whole(body, kind, route), response.headers)
        return
    seen = _Seen()
    stream = events(aiter(body))
    try:
        async for event in stream:
            if isinstance(event, DoneMark):
                seen.end = True
                break
            part = part_of_chunk(event, response.headers)
            if event.get("error") or part.finish in FAILED_ENDS:
                raise _error_event(event, route)
            seen.take(event, part)
            yield part
    except InvalidEvents as error:
        raise StreamBroken(f"the reply of {route.where} is incomplete: {error}") from error
    seen.check(route)
    await read_out(stream)


@dataclass
class _Seen:
    """The state of a stream."""

    events: int = 0
    choices: bool = False
    end: bool = False

    def take(self, event: Mapping[str, Any], part: ReplyPart) -> None:
        self.events += 1
        self.choices = self.choices or "choices" in event
        self.end = self.end or part.finish is not None

    def check(self, route: Route) -> None:
        """Raise an error if the finished stream is not a complete reply."""
        if self.events and not self.choices:
            raise _other_dialect(route)
        if not self.end:
            raise StreamBroken(f"the reply of {route.where} is incomplete")


async def _whole(chunks: AsyncIterable[bytes], kind: str, route: Route) -> Mapping[str, Any]:
    value = await read_json(chunks, kind, route)
    if isinstance(value, dict) and value.get("error"):
        raise _error_event(value, route)
    if not isinstance(value, dict) or (value and "choices" not in value):
        raise _other_dialect(route)
    if not value.get("choices"):
        raise ServerError(f"the response of {route.where} has no choices")
    return value


def _other_dialect(route: Route) -> NotAnApi:
    """Return the error for an endpoint with another API."""
    return NotAnApi(
        f"{route.where} does not support OpenAI's chat completions", "use its OpenAI-compatible address as the base URL"
    )


def _error_event(event: Mapping[str, Any], route: Route) -> Exception:
    """Convert an error event within a stream: by its status if it has one, otherwise to a broken stream."""
    detail = detail_of(event)
    if detail.status:
        return error_of_detail(detail.status, detail, route)
    error = error_of_detail(400, detail, route)
    broken = StreamBroken(f"{route.where} sent an error within its reply")
    return broken if isinstance(error, BadRequest) else error
