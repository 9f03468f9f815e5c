"""The conversation as a markdown document, to read, to keep and to paste."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ml_intern.outbound.conversation import Call, Conversation, Message
from ml_intern.text.visible import visible

_FENCE = re.compile(r"^\s*(`{3,})", re.MULTILINE)
_TICKS = re.compile("`+")
SHORT = 80
"""Characters of an argument that still stands on the line of its name."""
NAMES = {"user": "User", "assistant": "ml-intern", "note": "Note to the model"}


def to_markdown(conversation: Conversation) -> str:
    """A document: a heading, what is known of the thread, then every message; hidden characters are shown."""
    return visible("\n".join(_document(conversation))) + "\n"


def facts(conversation: Conversation) -> list[tuple[str, str]]:
    """What is known of the thread, as names and values; what is not known is left out."""
    known = {
        "thread": conversation.thread_id,
        "folder": conversation.folder,
        "model": conversation.model,
        "begun": local_time(conversation.created),
        "last used": local_time(conversation.updated),
        "cost": "" if conversation.cost_usd is None else f"${conversation.cost_usd:.2f}",
    }
    return [(name, value) for name, value in known.items() if value]


def local_time(epoch: float | None) -> str:
    """Seconds since the epoch as local date and time with the offset; "" when unknown."""
    return "" if epoch is None else datetime.fromtimestamp(epoch).astimezone().strftime("%Y-%m-%d %H:%M %z")


def fenced(text: str, language: str = "") -> str:
    """The text as a block of code, whatever fences it holds itself."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def in_ticks(text: str) -> str:
    """One line of text as a span of code."""
    ticks = "`" * (1 + max((len(found) for found in _TICKS.findall(text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{room}{text}{room}{ticks}"


def _document(conversation: Conversation) -> Iterator[str]:
    yield f"# {' '.join(conversation.title.split()) or 'Untitled thread'}"
    yield ""
    yield from (f"- {name}: {in_ticks(value)}" for name, value in facts(conversation))
    results = conversation.results()
    for place, message in enumerate(conversation.messages):
        if message.role != "tool":
            yield from _message(message)
            for call in message.calls:
                yield from _call(call, results.get((place, call.id)))


def _message(message: Message) -> Iterator[str]:
    yield f"\n## {NAMES[message.role]}"
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
    yield fenced(result.text, "text")


def _arguments(args: Mapping[str, Any]) -> Iterator[str]:
    for name, value in args.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
        if len(text) <= SHORT and "\n" not in text:
            yield f"\n{name}: {in_ticks(text)}"
        else:
            yield f"\n{name}:\n"
            yield fenced(text, "text" if isinstance(value, str) else "json")
