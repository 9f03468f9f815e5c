"""Export as a Markdown document."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from ml_intern.outbound.conversation import Call, Conversation, Message
from ml_intern.text.formatting import money
from ml_intern.text.visible import visible

_FENCE = re.compile(r"^\s*(`{3,})", re.MULTILINE)
_TICKS = re.compile("`+")
MAX_INLINE_ARGUMENT = 80
"""Longest argument, in characters, that is written on the same line as its name."""
ROLE_NAMES = {"user": "User", "assistant": "ml-intern", "note": "Note to the model"}


def to_markdown(conversation: Conversation) -> str:
    """Return a document with a heading, the thread's metadata and every message; hidden characters are visible."""
    return visible("\n".join(_document(conversation))) + "\n"


def metadata(conversation: Conversation) -> list[tuple[str, str]]:
    """Return the thread's known metadata as pairs of name and value."""
    known = {
        "thread": conversation.thread_id,
        "folder": PurePosixPath(conversation.folder).name,
        "model": conversation.model,
        "created": local_time(conversation.created),
        "last used": local_time(conversation.updated),
        "cost": "" if conversation.cost_usd is None else money(conversation.cost_usd),
    }
    return [(name, value) for name, value in known.items() if value]


def local_time(epoch: float | None) -> str:
    """Format seconds since the epoch as local date and time with the UTC offset; "" when unknown."""
    return "" if epoch is None else datetime.fromtimestamp(epoch).astimezone().strftime("%Y-%m-%d %H:%M %z")


def code_block(text: str, language: str = "") -> str:
    """Return the text as a fenced code block with a fence longer than any in the text."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def code_span(text: str) -> str:
    """Return one line of text as a code span."""
    ticks = "`" * (1 + max((len(found) for found in _TICKS.findall(text)), default=0))
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{padding}{text}{padding}{ticks}"


def _document(conversation: Conversation) -> Iterator[str]:
    yield f"# {' '.join(conversation.title.split()) or 'Untitled thread'}"
    yield ""
    yield from (f"- {name}: {code_span(value)}" for name, value in metadata(conversation))
    results = conversation.results()
    for place, message in enumerate(conversation.messages):
        if message.role != "tool":
            yield from _message(message)
            for call in message.calls:
                yield from _call(call, results.get((place, call.id)))


def _message(message: Message) -> Iterator[str]:
    yield f"\n## {ROLE_NAMES[message.role]}"
    if message.text.strip():
        yield f"\n{message.text.strip()}"
    for image in message.images:
        yield f"\n![image]({image})" if image.startswith("data:") else f"\n[image]({image})"


def _call(call: Call, result: Message | None) -> Iterator[str]:
    yield f"\n**{call.name}**"
    yield from _arguments(call.args)
    if result is None:
        yield "\nNo result."
        return
    yield f"\n{'Result' if result.ok else 'Failed'}:\n"
    yield code_block(result.text, "text")


def _arguments(args: Mapping[str, Any]) -> Iterator[str]:
    for name, value in args.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        if len(text) <= MAX_INLINE_ARGUMENT and "\n" not in text:
            yield f"\n{name}: {code_span(text)}"
        else:
            yield f"\n{name}:\n"
            yield code_block(text, "text" if isinstance(value, str) else "json")
