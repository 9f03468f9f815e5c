"""Anthropic's Messages API, as Anthropic and the servers that imitate it implement it."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from ml_intern.models.anthropic_format import AnthropicEvents, AnthropicMessages, status_of, thinking_fields, tools_of
from ml_intern.models.catalog.prices import requested_output
from ml_intern.models.errors import NotAnApi, StreamBroken, detail_of, error_of_detail
from ml_intern.models.messages import EncodedTools, encode
from ml_intern.models.request import ModelRequest, ReplyPart
from ml_intern.models.routing import Route
from ml_intern.models.transports.base import Trimming
from ml_intern.models.transports.http import read_json, read_out
from ml_intern.models.transports.sse import Body, DoneMark, InvalidEvents, are_events, events

_RESERVED = frozenset({"model", "messages", "tools", "stream", "system"})


class Messages:
    """Encodes requests and reads replies. Replies are always streamed: long ones would time out otherwise."""

    path = "/messages"

    def __init__(self) -> None:
        self._encoded = AnthropicMessages()
        self._tools = EncodedTools(tools_of)

    def body(self, route: Route, request: ModelRequest, trimming: Trimming) -> bytes:
        """Return the body of a request."""
        fields: dict[str, Any] = {"model": route.name, "max_tokens": requested_output(route.model), "stream": True}
        fields |= {key: value for key, value in request.params.items() if key not in _RESERVED}
        if not trimming.options:
            fields |= thinking_fields(route.model, request.effort, fields["max_tokens"])
        messages = self._encoded(request.messages, request.model, trimming)
        return b"%b%b%b}" % (encode(fields)[:-1], self._tools(request.tools), messages)

    def parts(self, response: httpx.Response, route: Route) -> AsyncIterator[ReplyPart]:
        """Yield the fragments of a reply. Raises the errors of models.errors."""
        return _parts(response, route)


async def _parts(response: httpx.Response, route: Route) -> AsyncIterator[ReplyPart]:
    body, kind = Body(response.aiter_bytes()), response.headers.get("content-type", "")
    if not are_events(await body.start(), kind):
        raise _error_of_json(await read_json(aiter(body), kind, route), route)
    reader, stream = AnthropicEvents(), events(aiter(body))
    try:
        async for event in stream:
            if isinstance(event, DoneMark) or event.get("type") == "message_stop":
                break
            if event.get("error"):
                raise _error_event(event, route)
            yield reader.read(event)
    except InvalidEvents as error:
        raise StreamBroken(f"the reply of {route.where} is incomplete: {error}") from error
    if not reader.ended:
        raise StreamBroken(f"the reply of {route.where} is incomplete") if reader.began else _other_api(route)
    await read_out(stream)


def _error_event(event: Mapping[str, Any], route: Route) -> Exception:
    return error_of_detail(status_of(event), detail_of(event), route)


def _error_of_json(value: object, route: Route) -> Exception:
    """Convert a JSON body in place of a stream."""
    return _error_event(value, route) if isinstance(value, dict) and value.get("error") else _other_api(route)


def _other_api(route: Route) -> NotAnApi:
    return NotAnApi(
        f"{route.where} does not support Anthropic's Messages API",
        f"check {route.key_env or 'the base URL'}; for an OpenAI-compatible endpoint use --base-url",
    )
