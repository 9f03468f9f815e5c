"""Tool calls as text, for models without tool calling: only an encoding, the conversation itself stays the same.

The system message describes the tools. The model writes a call as a fenced block, which becomes a call of the reply;
earlier calls are sent back as such blocks, and results as text of the user.
"""

import json
import re
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from ml_intern.models.request import CallPart, ModelRequest, ReplyPart

TAG = "tool"
NOTE = "does not support tool calling: tools are called by text, which small models often do badly"
_PROTOCOL = """

# Calling tools

You call a tool by writing a fenced block with the word `tool` after the fence. The block contains one JSON object with
the name of the tool and its arguments, and nothing else:

```tool
{"name": "NAME", "args": {"ARGUMENT": "VALUE"}}
```

End your reply after the last block. The results come with the next message of the user. Text after a block is dropped.
To answer without a call, write no such block. These are the tools, each with the JSON schema of its arguments:

"""
_OPENING = re.compile(r"(?m)^[ \t]*(?:```|~~~)(?P<tag>[^\n`]*)\n")
_LAST_FENCE = re.compile(r"(?:^|\n)[ \t]*(?:```|~~~)[ \t]*$")
_PLAIN_TAGS = ("json", "")
"""Tags of blocks that are calls only if they name an offered tool."""
_CALL_TAGS = (TAG, "tool_call", "tool_code")
_NAME = re.compile(r'"name"\s*:\s*"([^"\n]{1,100})"')


def as_text(request: ModelRequest) -> ModelRequest:
    """Return the request without tools and calls: they are in the text of its messages."""
    messages = [*_encoded(request.messages)]
    if request.tools:
        messages = [*_with_protocol(messages, request.tools)]
    return replace(request, messages=messages, tools=())


def _with_protocol(messages: Sequence[AnyMessage], tools: Sequence[dict[str, Any]]) -> Iterator[AnyMessage]:
    text = _PROTOCOL + "\n\n".join(map(_described, tools))
    first = messages[0] if messages else None
    if isinstance(first, SystemMessage):
        yield SystemMessage(f"{first.text}{text}", id=first.id)
        yield from messages[1:]
    else:
        yield SystemMessage(text.strip(), id="tools")
        yield from messages


def _described(tool: dict[str, Any]) -> str:
    function = tool["function"]
    schema = json.dumps(function.get("parameters", {}), ensure_ascii=False, separators=(",", ":"))
    return f"## {function['name']}\n{function.get('description', '').strip()}\nArguments: {schema}"


def _encoded(messages: Sequence[AnyMessage]) -> Iterator[AnyMessage]:
    """Yield the messages with calls and results as text. Neighbouring texts of the user become one message."""
    collected: list[AnyMessage] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            collected.append(_result(message))
        elif isinstance(message, HumanMessage):
            collected.append(message)
        else:
            yield from _joined(collected)
            collected = []
            yield _with_blocks(message) if isinstance(message, AIMessage) else message
    yield from _joined(collected)


def _joined(messages: Sequence[AnyMessage]) -> Iterator[AnyMessage]:
    """Yield one message with the content of all, or none. Some chat templates require the roles to alternate."""
    if len(messages) < 2:
        yield from messages
    elif all(isinstance(message.content, str) for message in messages):
        yield HumanMessage("\n\n".join(message.text for message in messages), id=messages[0].id)
    else:
        yield HumanMessage([block for message in messages for block in _blocks(message)], id=messages[0].id)


def _blocks(message: AnyMessage) -> list[Any]:
    content = message.content
    return [{"type": "text", "text": content}] if isinstance(content, str) else [*content]


def _result(message: ToolMessage) -> HumanMessage:
    heading = f"Result of {message.name or 'the call'}:\n"
    if isinstance(message.content, str):
        return HumanMessage(heading + message.content, id=message.id)
    return HumanMessage([{"type": "text", "text": heading}, *message.content], id=message.id)


def _with_blocks(message: AIMessage) -> AIMessage:
    if not message.tool_calls:
        return message
    blocks = "\n".join(_block(call["name"], call["args"]) for call in message.tool_calls)
    return AIMessage(f"{message.text.rstrip()}\n{blocks}".strip(), id=message.id)


def _block(name: str, args: dict[str, Any]) -> str:
    return f"```{TAG}\n{json.dumps({'name': name, 'args': args}, ensure_ascii=False)}\n```"


async def with_calls(
    parts: AsyncGenerator[ReplyPart, None], tools: Sequence[dict[str, Any]]
) -> AsyncGenerator[ReplyPart, None]:
    """Yield the fragments of a reply with the blocks of its text as calls. Text after the first call is dropped."""
    reader = _Reader({tool["function"]["name"] for tool in tools})
    async with aclosing(parts) as stream:
        async for part in stream:
            yield from_text(part, reader.read(part.text))
    if rest := reader.finish():
        yield from_text(ReplyPart(), rest)


def from_text(part: ReplyPart, found: Sequence[str | CallPart]) -> ReplyPart:
    """Return the fragment with the text and calls that were found in its text."""
    text = "".join(one for one in found if isinstance(one, str))
    return replace(part, text=text, calls=(*part.calls, *(one for one in found if isinstance(one, CallPart))))


class _Reader:
    """Finds the blocks in a text that arrives in fragments. A line that may begin a block waits until it is decided."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._text = ""
        self._calls = 0

    def read(self, text: str) -> list[str | CallPart]:
        """Return the text and calls that are complete with this fragment."""
        self._text += text
        return [*self._complete()]

    def finish(self) -> list[str | CallPart]:
        """Return what is left at the end. A block that is not closed is a call all the same, perhaps an invalid one."""
        found = [*self._complete()]
        opening = _OPENING.match(self._text)
        rest, self._text = self._text, ""
        call = self._call(opening["tag"], _LAST_FENCE.sub("", rest[opening.end() :])) if opening else None
        return [*found, *([call] if call else self._prose(rest))]

    def _complete(self) -> Iterator[str | CallPart]:
        while opening := _OPENING.search(self._text):
            yield from self._prose(self._text[: opening.start()])
            self._text = self._text[opening.start() :]
            body = self._text[opening.end() - opening.start() :]
            closing = re.search(r"(?m)^[ \t]*(?:```|~~~)[ \t]*(?:\n|$)", body)
            if closing is None or (closing.end() == len(body) and not body.endswith("\n")):
                return
            block, self._text = self._text[: len(self._text) - len(body) + closing.end()], body[closing.end() :]
            call = self._call(opening["tag"], body[: closing.start()])
            yield from [call] if call else self._prose(block)
        yield from self._prose(self._taken())

    def _taken(self) -> str:
        """Take the text up to a last line that may become the beginning of a block."""
        line = self._text.rpartition("\n")[2]
        waits = line.lstrip(" \t")[:3] in ("", "`", "``", "```", "~", "~~", "~~~")
        taken, self._text = (self._text[: len(self._text) - len(line)], line) if waits else (self._text, "")
        return taken

    def _prose(self, text: str) -> Iterator[str]:
        if text and not self._calls:
            yield text

    def _call(self, tag: str, body: str) -> CallPart | None:
        """Return the call of a block, or None if the block is text. An invalid call keeps its text as arguments."""
        tag = tag.strip().lower()
        if tag not in (*_CALL_TAGS, *_PLAIN_TAGS):
            return None
        value = _call_in(body)
        if tag in _PLAIN_TAGS and not (value and value[0] in self._names and isinstance(value[1], dict)):
            return None
        self._calls += 1
        if value:
            return CallPart(self._calls, None, value[0], json.dumps(value[1], ensure_ascii=False))
        named = _NAME.search(body)
        return CallPart(self._calls, None, named[1] if named else "", body.strip() or "{")


def _call_in(body: str) -> tuple[str, Any] | None:
    """Return the name and the arguments in the JSON object of a block, or None if it has no name."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    return value["name"], next((value[key] for key in ("args", "arguments", "parameters") if key in value), {})
