"""Messages in the format of OpenAI-compatible endpoints. Each is converted and encoded once, however often sent."""

import json
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any, Generic, TypeVar

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from ml_intern.graph.state import is_image
from ml_intern.models.transports.base import WHOLE, Trimming

Wire = dict[str, Any]
Made = TypeVar("Made")
_NAME = re.compile(r"[^a-zA-Z0-9_-]")
SIGNED = frozenset({"thinking_blocks", "reasoning_items"})
"""additional_kwargs that must be sent back unchanged with the conversation."""
UNSEEN = "[an image was here; this model does not accept images]"
_NOT_RUN = "not run: interrupted before this call had a result"


class PerMessage(Generic[Made]):
    """A cache of values derived from messages, for as long as the message exists.

    The key is the identity: a message does not change once it is in a conversation; a replaced one is a new object.
    """

    def __init__(self, make: Callable[[AnyMessage], Made]) -> None:
        self._make = make
        self._made: dict[int, tuple[weakref.ref[AnyMessage], Made]] = {}

    def __call__(self, message: AnyMessage) -> Made:
        """Return the value of `make` for this message, computed on the first call."""
        key = id(message)
        known = self._made.get(key)
        if known and known[0]() is message:
            return known[1]
        made = self._make(message)
        self._made[key] = (weakref.ref(message, lambda _: self._made.pop(key, None)), made)
        return made


@dataclass(frozen=True)
class _Converted(Generic[Made]):
    """A converted conversation, and the parameters of its form."""

    form: tuple[str, Trimming]
    messages: tuple[AnyMessage, ...]
    parts: tuple[tuple[AnyMessage, Made], ...]

    def begins(self, form: tuple[str, Trimming], messages: Sequence[AnyMessage]) -> bool:
        """Return whether a conversation in this form begins with these same message objects."""
        return form == self.form and len(self.messages) <= len(messages) and all(map(is_, self.messages, messages))


class Conversion(Generic[Made]):
    """Convert conversations, each message once per form.

    For a conversation that continues the last one, as almost all do, only the new messages are looked at.
    """

    def __init__(self, finish: Callable[[Wire], Made]) -> None:
        self._finish = finish
        self._ways: dict[tuple[bool, bool], PerMessage[list[Made]]] = {}
        self._last: _Converted[Made] | None = None

    def __call__(
        self, messages: Sequence[AnyMessage], model: str = "", trimming: Trimming = WHOLE
    ) -> Sequence[tuple[AnyMessage, Made]]:
        """Return the converted parts, each with its message. A model gets only its own reasoning back.

        The images of tool results follow the whole group of results they belong to.
        """
        form, last = (model, trimming), self._last
        known = last if last is not None and last.begins(form, messages) else _Converted[Made](form, (), ())
        parts = [*known.parts]
        pictures = self._convert(messages[len(known.messages) :], form, parts)
        # More results would have to precede the pictures, so the next conversion starts from the beginning.
        self._last = None if pictures else _Converted(form, tuple(messages), tuple(parts))
        return parts + pictures

    def _convert(
        self, messages: Sequence[AnyMessage], form: tuple[str, Trimming], parts: list[tuple[AnyMessage, Made]]
    ) -> list[tuple[AnyMessage, Made]]:
        """Add the parts of these messages. Return the images that follow the last results."""
        model, trimming = form
        images = not trimming.images
        theirs = self._way(reasoning=False, images=images)
        own = theirs if trimming.reasoning else self._way(reasoning=True, images=images)
        pictures: list[tuple[AnyMessage, Made]] = []
        for message in messages:
            if pictures and not isinstance(message, ToolMessage):
                parts += pictures
                pictures = []
            written_by = message.response_metadata.get("model", model)
            part, *its_pictures = (own if written_by == model or not model else theirs)(message)
            parts.append((message, part))
            pictures += ((message, picture) for picture in its_pictures)
        return pictures

    def _way(self, *, reasoning: bool, images: bool) -> PerMessage[list[Made]]:
        if (reasoning, images) not in self._ways:
            self._ways[reasoning, images] = PerMessage(
                lambda message: [self._finish(wire) for wire in convert(message, reasoning=reasoning, images=images)]
            )
        return self._ways[reasoning, images]


def has_images(messages: Sequence[AnyMessage]) -> bool:
    """Return whether a conversation contains images."""
    return any(is_image(block) for message in messages for block in content_blocks(message.content))


def encode(value: Any) -> bytes:
    """Encode as compact JSON in UTF-8. A lone surrogate becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def convert(message: AnyMessage, *, reasoning: bool = True, images: bool = True) -> list[Wire]:
    """Convert one message to OpenAI's format. A user message with its images follows where its role may have none."""
    if isinstance(message, AIMessage):
        return [_assistant(message, reasoning=reasoning)]
    if not images and any(map(is_image, content_blocks(message.content))):
        message = message.model_copy(update={"content": [*map(_without_image, content_blocks(message.content))]})
    if isinstance(message, ToolMessage):
        return _tool_result(message)
    if isinstance(message, SystemMessage):
        return [{"role": "system", "content": _text(message.content)}]
    if isinstance(message, HumanMessage):
        return [{"role": "user", "content": _content(message.content)}]
    raise TypeError(f"a conversation cannot contain a {type(message).__name__}")


def _without_image(block: Any) -> Any:
    return {"type": "text", "text": UNSEEN} if is_image(block) else block


def repaired(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the conversation with a result right after each call, no results without a call, and no signed thinking.

    Providers reject conversations for these. Messages that need no change stay the same objects.
    """
    results = {message.tool_call_id: message for message in messages if isinstance(message, ToolMessage)}
    return list(_repairs(messages, results))


def _repairs(messages: Sequence[AnyMessage], results: dict[str, ToolMessage]) -> Iterator[AnyMessage]:
    for message in messages:
        if isinstance(message, AIMessage):
            yield _without_thinking(message)
            for call in message.tool_calls:
                call_id = call["id"] or ""
                yield results.get(call_id) or ToolMessage(_NOT_RUN, tool_call_id=call_id, name=call["name"])
        elif not isinstance(message, ToolMessage):
            yield message


def _without_thinking(message: AIMessage) -> AIMessage:
    blocks = message.content if isinstance(message.content, list) else []
    kept = [block for block in blocks if not _is_thinking(block)]
    if not SIGNED & set(message.additional_kwargs) and len(kept) == len(blocks):
        return message
    kwargs = {key: value for key, value in message.additional_kwargs.items() if key not in SIGNED}
    return message.model_copy(update={"additional_kwargs": kwargs, "content": kept if blocks else message.content})


def _assistant(message: AIMessage, *, reasoning: bool) -> Wire:
    wire: Wire = {"role": "assistant", "content": _text(message.content)}
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {
                    "name": wire_name(call["name"]),
                    "arguments": json.dumps(call["args"], ensure_ascii=False),
                },
            }
            for call in message.tool_calls
        ]
    if reasoning and (thoughts := message.additional_kwargs.get("reasoning_content")):
        wire["reasoning_content"] = thoughts
    return wire


def wire_name(name: str) -> str:
    """Return a tool's name in the form providers accept: an invented one must not make them reject the conversation."""
    return _NAME.sub("_", name)[:64] or "unnamed"


def _tool_result(message: ToolMessage) -> list[Wire]:
    result: Wire = {"role": "tool", "tool_call_id": message.tool_call_id, "content": _text(message.content)}
    images = [block for block in map(_block, content_blocks(message.content)) if block and block["type"] == "image_url"]
    return [result, {"role": "user", "content": images}] if images else [result]


def _content(content: str | list[Any]) -> str | list[Wire]:
    if isinstance(content, str):
        return content
    return [block for block in map(_block, content) if block]


def _text(content: str | list[Any]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in map(_block, content) if block and block["type"] == "text")


def content_blocks(content: str | list[Any]) -> list[Any]:
    """Return the blocks of a message's content; none for plain text."""
    return content if isinstance(content, list) else []


def _block(block: Any) -> Wire | None:
    """Convert one content block to OpenAI's text or image_url. None for types only one provider understands."""
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type")
    if kind == "text":
        return {"type": "text", "text": block.get("text", "")}
    if kind == "image_url":
        return {"type": "image_url", "image_url": block["image_url"]}
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": image_url(block)}}
    return None


def image_url(block: Wire) -> str:
    """Return the address or the data URL of an image block."""
    if block.get("type") == "image_url":
        given = block["image_url"]
        return str(given.get("url", "") if isinstance(given, dict) else given)
    data = block.get("base64") or block.get("data")
    return f"data:{block.get('mime_type', 'image/png')};base64,{data}" if data else str(block.get("url", ""))


def _is_thinking(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in ("thinking", "redacted_thinking", "reasoning")


class EncodedTools:
    """The field `tools` of request bodies. They stay the same within a turn and are encoded once."""

    def __init__(self, convert: Callable[[Sequence[Wire]], list[Wire]] = list) -> None:
        self._convert = convert
        self._last: tuple[Sequence[Wire], bytes] = ((), b"")

    def __call__(self, tools: Sequence[Wire]) -> bytes:
        """Return the field with a leading comma; empty without tools."""
        if tools is not self._last[0]:
            self._last = tools, b',"tools":%b' % encode(self._convert(tools)) if tools else b""
        return self._last[1]
