"""Anthropic's Messages API: its requests and the events of its streams, by its API reference."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, SystemMessage, ToolMessage

from ml_intern.graph.state import is_image
from ml_intern.models.catalog.prices import entry_of
from ml_intern.models.messages import UNSEEN, PerMessage, Wire, content_blocks, encode, image_url, wire_name
from ml_intern.models.parsing import count_of, mapping_of
from ml_intern.models.request import CallPart, ReplyPart, Usage
from ml_intern.models.transports.base import Trimming

THINKING = "thinking_blocks"
"""The key in additional_kwargs of signed thinking, which goes back unchanged."""
THOUGHTS = ("thinking", "redacted_thinking")
CACHE_MARK = b',"cache_control":{"type":"ephemeral"}}'
_ID = re.compile(r"[^a-zA-Z0-9_-]")
_DATA_URL = re.compile(r"data:(?P<type>[\w/+.-]+);base64,(?P<data>.*)", re.DOTALL)
_LEVELS = {"minimal": "low"}
_BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384}
"""Tokens of thinking for each effort, for models without adaptive thinking. The API takes no less than 1,024."""
_REST = 1_024
"""Output tokens left for the reply."""
_STATUS = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500,
    "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip
"""The HTTP status of each type of error. Errors within a stream have only the type."""


def thinking_fields(model: str, effort: str | None, longest: object) -> Wire:
    """Return the fields of a request that ask for this effort: adaptive thinking, or a budget for older models.

    `longest` is the request's limit of output tokens. A model that the price table does not list counts as recent.
    """
    abilities = entry_of(model).efforts
    if not effort or effort == "off" or (abilities and "reasoning" not in abilities):
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    if not abilities or "adaptive_thinking" in abilities:
        level = _LEVELS.get(effort, effort)
        level = level if f"{level}_reasoning_effort" in abilities or level not in ("xhigh", "max") else "high"
        return {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": level}}
    most = longest - _REST if isinstance(longest, int) else _BUDGETS["high"]
    return {"thinking": {"type": "enabled", "budget_tokens": min(_BUDGETS.get(effort, _BUDGETS["high"]), most)}}


def status_of(event: Mapping[str, Any]) -> int:
    """Return the HTTP status that an error event stands for."""
    error = event.get("error")
    return _STATUS.get(str(error.get("type")) if isinstance(error, Mapping) else "", 500)


class AnthropicMessages:
    """Encodes conversations, each message once per form."""

    def __init__(self) -> None:
        self._forms: dict[tuple[bool, bool], PerMessage[list[bytes]]] = {}

    def __call__(self, messages: Sequence[AnyMessage], model: str, trimming: Trimming) -> bytes:
        """Return the fields `system` and `messages` of a request body, with a leading comma.

        The cache marks are on the system prompt, and on the last two messages of the user: the former of these was the
        last one of the previous request, so that its cache entry is found however much was added since.
        """
        system = b",".join(_text_block(message.text) for message in messages if isinstance(message, SystemMessage))
        blocks = [
            (_role(message), block)
            for message in messages
            if not isinstance(message, SystemMessage)
            for block in self._blocks(message, model, trimming)
        ]
        turns = [(role, [block for _, block in same]) for role, same in groupby(blocks, key=itemgetter(0))]
        for content in [content for role, content in turns if role == b"user"][-2:]:
            content[-1] = _marked(content[-1])
        bodies = b",".join(b'{"role":"%b","content":[%b]}' % (role, b",".join(content)) for role, content in turns)
        start = b',"system":[%b]' % _marked(system) if system else b""
        return b'%b,"messages":[%b]' % (start, bodies)

    def _blocks(self, message: AnyMessage, model: str, trimming: Trimming) -> list[bytes]:
        own = message.response_metadata.get("model", model) == model and not trimming.reasoning
        form = own, not trimming.images
        if form not in self._forms:
            self._forms[form] = PerMessage(
                lambda one: [encode(block) for block in blocks_of(one, thinking=form[0], images=form[1])]
            )
        return self._forms[form](message)


def blocks_of(message: AnyMessage, *, thinking: bool, images: bool) -> list[Wire]:
    """Return the content blocks of a message. Empty text is left out, and thinking alone: the API rejects both."""
    if isinstance(message, AIMessage):
        said = [*_text_blocks(message.text), *_tool_uses(message)]
        return [*_thoughts(message), *said] if thinking and said else said
    blocks = list(_user_blocks(message, images=images))
    if not isinstance(message, ToolMessage):
        return blocks
    result: Wire = {"type": "tool_result", "tool_use_id": _call_id(message.tool_call_id)}
    content = {"content": blocks} if blocks else {}
    return [{**result, **content, **({"is_error": True} if message.status == "error" else {})}]


def tools_of(tools: Sequence[Wire]) -> list[Wire]:
    """Convert OpenAI's function schemas."""
    functions = [tool["function"] for tool in tools]
    return [
        {
            "name": function["name"],
            "description": function.get("description", ""),
            "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
        }
        for function in functions
    ]


def _role(message: AnyMessage) -> bytes:
    return b"assistant" if isinstance(message, AIMessage) else b"user"


def _marked(block: bytes) -> bytes:
    return block[:-1] + CACHE_MARK


def _text_block(text: str) -> bytes:
    return encode({"type": "text", "text": text})


def _text_blocks(text: str) -> list[Wire]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _thoughts(message: AIMessage) -> list[Wire]:
    blocks = message.additional_kwargs.get(THINKING)
    return [block for block in blocks if block.get("type") in THOUGHTS] if isinstance(blocks, list) else []


def _tool_uses(message: AIMessage) -> Iterator[Wire]:
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": _call_id(call["id"]), "name": wire_name(call["name"]), "input": call["args"]}


def _call_id(id: str | None) -> str:
    """Return a call's id in the form the API accepts; the id of another provider's model may have another."""
    return _ID.sub("_", id or "")[:64] or "unnamed"


def _user_blocks(message: AnyMessage, *, images: bool) -> Iterator[Wire]:
    if isinstance(message.content, str):
        yield from _text_blocks(message.content)
        return
    for block in content_blocks(message.content):
        if not is_image(block):
            yield from _text_blocks(block if isinstance(block, str) else str(block.get("text") or ""))
        else:
            yield _image(image_url(block)) if images else {"type": "text", "text": UNSEEN}


def _image(url: str) -> Wire:
    found = _DATA_URL.fullmatch(url)
    source = {"type": "base64", "media_type": found["type"], "data": found["data"]} if found else None
    return {"type": "image", "source": source or {"type": "url", "url": url}}


@dataclass
class AnthropicEvents:
    """Reads the events of one stream."""

    began: bool = False
    ended: bool = False
    """The model has finished its reply."""
    _usage: dict[str, int] = field(default_factory=dict[str, int])
    _thinking: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])

    def read(self, event: Mapping[str, Any]) -> ReplyPart:
        """Return the fragment in an event; empty for events without one."""
        kind, index = event.get("type"), _index(event.get("index"))
        if kind == "message_start":
            self.began = True
            self._count(mapping_of(event.get("message")).get("usage"))
        elif kind == "content_block_start":
            return self._start(index, mapping_of(event.get("content_block")))
        elif kind == "content_block_delta":
            return self._delta(index, mapping_of(event.get("delta")))
        elif kind == "content_block_stop" and index in self._thinking:
            return ReplyPart(extras={THINKING: [self._thinking.pop(index)]})
        elif kind == "message_delta":
            return self._end(event)
        return ReplyPart()

    def _start(self, index: int, block: Mapping[str, Any]) -> ReplyPart:
        kind = block.get("type")
        if kind == "text":
            return ReplyPart(text=_text(block.get("text")))
        if kind == "tool_use":
            given = block.get("input")
            args = json.dumps(given) if given else ""
            return ReplyPart(calls=(CallPart(index, _text(block.get("id")), _text(block.get("name")), args),))
        if kind in THOUGHTS:
            self._thinking[index] = dict(block)
            return ReplyPart(reasoning=_text(block.get("thinking")))
        return ReplyPart()

    def _delta(self, index: int, delta: Mapping[str, Any]) -> ReplyPart:
        kind = delta.get("type")
        if kind == "text_delta":
            return ReplyPart(text=_text(delta.get("text")))
        if kind == "input_json_delta":
            return ReplyPart(calls=(CallPart(index, None, None, _text(delta.get("partial_json"))),))
        key = {"thinking_delta": "thinking", "signature_delta": "signature"}.get(str(kind))
        if key is None:
            return ReplyPart()
        more, block = _text(delta.get(key)), self._thinking.setdefault(index, {"type": "thinking"})
        block[key] = f"{block.get(key, '')}{more}"
        return ReplyPart(reasoning=more if key == "thinking" else "")

    def _end(self, event: Mapping[str, Any]) -> ReplyPart:
        self._count(event.get("usage"))
        reason = _text(mapping_of(event.get("delta")).get("stop_reason")) or None
        self.ended = self.ended or reason is not None
        return ReplyPart(finish=reason, usage=self._reported() if reason else None)

    def _count(self, usage: object) -> None:
        """Take the counts of an event: those of a later event are the sums so far."""
        self._usage |= {key: count for key, value in mapping_of(usage).items() if (count := count_of(value))}

    def _reported(self) -> Usage | None:
        if not self._usage:
            return None
        read = self._usage.get("cache_read_input_tokens", 0)
        written = self._usage.get("cache_creation_input_tokens", 0)
        return Usage(
            input_tokens=self._usage.get("input_tokens", 0) + read + written,
            output_tokens=self._usage.get("output_tokens", 0),
            cached_tokens=read,
            cache_write_tokens=written,
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _index(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
