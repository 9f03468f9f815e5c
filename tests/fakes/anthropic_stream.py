"""The replies of the fake model server as the events of Anthropic's Messages API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.model_server import Reply, pieces

STOPS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}


def messages_events(reply: Reply) -> list[dict[str, Any]]:
    """The events of a streamed reply: thinking, text, then each call."""
    usage = dict(reply.usage or {})
    cached = dict(usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    counts = {"input_tokens": usage.get("prompt_tokens", 0) - cached, "cache_read_input_tokens": cached}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "fake", "content": []}
    found: list[dict[str, Any]] = [{"type": "message_start", "message": {**message, "usage": counts}}]
    for index, block in enumerate(_blocks(reply)):
        found += _block_events(index, *block)
    if reply.finish_reason is not None:
        reason = STOPS.get(reply.finish_reason, reply.finish_reason)
        spent = {"usage": {"output_tokens": usage.get("completion_tokens", 0)}}
        found += [{"type": "message_delta", "delta": {"stop_reason": reason}, **spent}, {"type": "message_stop"}]
    return found


def messages_event(data: Mapping[str, Any]) -> bytes:
    """One event with its name."""
    return b"event: %b\ndata: %b\n\n" % (str(data.get("type", "error")).encode(), json.dumps(data).encode())


def _blocks(reply: Reply) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The start of each content block, and its deltas."""
    if reply.reasoning:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(reply.reasoning)]
        signature = {"type": "signature_delta", "signature": "c2lnbmVk"}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signature]
    if reply.text:
        yield {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(reply.text)]
    for place, call in enumerate(reply.calls):
        start = {"type": "tool_use", "id": call.id or f"toolu_{place}", "name": call.name, "input": {}}
        yield start, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(call.arguments)]


def _block_events(index: int, start: dict[str, Any], deltas: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield {"type": "content_block_start", "index": index, "content_block": start}
    yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
    yield {"type": "content_block_stop", "index": index}
