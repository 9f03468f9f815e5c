"""Make a conversation shorter without breaking it: calls and their results stay together, the task stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from ml_intern.graph.state import SUMMARY, TYPED, estimate_tokens, is_image, is_users, note, users_words

OLD_OUTPUT = 1_000
"""Characters an old tool output is shortened to."""
IMAGE_GONE = "[its image is no longer shown; read the file again to see it]"
LONG_MESSAGE = 1_000
"""Characters that a message of the user keeps even when it alone does not fit."""
USER_WORDS = 4_000
"""Characters kept of each of the user's later messages."""

TAIL_SHARE = 4
"""One part in so many of the room is kept as it is."""
GOAL_SHARE = 2
"""Shortened outputs suffice when they bring the conversation under this part of the room."""
SUMMARY_WORDS = (1_200, 400)

Group = list[AnyMessage]


@dataclass(frozen=True)
class Room:
    """Tokens that the messages may take, and how the provider's count differs from an estimate."""

    tokens: int
    scale: float = 1.0

    def size(self, messages: Sequence[AnyMessage]) -> int:
        """Tokens of the messages, as the provider would count them."""
        return int(estimate_tokens(messages) * self.scale)

    def tail(self, messages: Sequence[AnyMessage], *, manual: bool, hard: bool) -> int:
        """Estimated tokens of the newest messages that are kept as they are."""
        whole = estimate_tokens(messages) if manual else self.tokens / self.scale
        return max(1, int(whole / TAIL_SHARE / (4 if hard else 1)))


class Summarise(Protocol):
    """Write down what happened in the middle of a conversation."""

    async def __call__(self, middle: Sequence[AnyMessage], words: int, /) -> str:
        """At most so many words; empty when nothing came."""
        ...


async def shortened(
    messages: list[AnyMessage],
    room: Room,
    summarise: Summarise,
    where: str,
    *,
    manual: bool = False,
    hard: bool = False,
) -> list[AnyMessage] | None:
    """The conversation with old outputs shortened, else its middle summarised, else cut; None when it does not fit.

    `where` names the file that holds the whole. `manual`: shorten though it fits. `hard`: keep less.
    """
    keep = room.tail(messages, manual=manual, hard=hard)
    older, tail = split(messages, keep)
    if not manual and not hard:
        light = [*shorten_outputs(older, OLD_OUTPUT, where), *tail]
        if room.size(light) < room.tokens // GOAL_SHARE:
            return light
    if not older:
        older, tail = tail[:1], tail[1:]
    tail = shorten_outputs(tail, max(OLD_OUTPUT, keep * 2), where) if hard or room.size(tail) > keep * 2 else tail
    task, middle = older[0], older[1:]
    if not middle:
        return _fitting([task, *tail], messages, room, where)
    for words in SUMMARY_WORDS:
        summary = await summarise(shorten_outputs(middle, OLD_OUTPUT, where), words)
        told = f"{summary}\n\n[All that came between, word for word, is in {where}.]"
        shorter: list[AnyMessage] = join(task, told, middle, tail, uuid4().hex) if summary else []
        if shorter and room.size(shorter) < room.tokens:
            return shorter
    cut = join(task, f"[What came between is in {where}.]", middle, tail, uuid4().hex)
    return _fitting(cut, messages, room, where)


def _fitting(new: list[AnyMessage], old: Sequence[AnyMessage], room: Room, where: str) -> list[AnyMessage] | None:
    """`new`, with the user's own long messages cut only when it does not fit otherwise."""
    quarter = int(room.tokens / room.scale)
    limits = (max(LONG_MESSAGE, quarter), max(LONG_MESSAGE, quarter // 4))
    attempts = (new, *(shorten_messages(new, limit, where) for limit in limits))
    return next((found for attempt in attempts if (found := _if_shorter(attempt, old, room))), None)


def _if_shorter(new: list[AnyMessage], old: Sequence[AnyMessage], room: Room) -> list[AnyMessage] | None:
    return new if room.size(new) < min(room.tokens, room.size(old)) else None


def groups(messages: Sequence[AnyMessage]) -> list[Group]:
    """The conversation in pieces that must stay whole: a reply with its results, or one other message."""
    pieces: list[Group] = []
    for message in messages:
        if isinstance(message, ToolMessage) and pieces:
            pieces[-1].append(message)
        else:
            pieces.append([message])
    return pieces


def split(messages: Sequence[AnyMessage], keep_tokens: int) -> tuple[list[AnyMessage], list[AnyMessage]]:
    """The older part and the newest whole groups of about `keep_tokens`; the last group is always kept."""
    pieces = groups(messages)
    start, kept = len(pieces), 0
    while start > 0:
        size = estimate_tokens(pieces[start - 1])
        if kept and kept + size > keep_tokens:
            break
        kept += size
        start -= 1
    return [m for piece in pieces[:start] for m in piece], [m for piece in pieces[start:] for m in piece]


def shorten_outputs(messages: Sequence[AnyMessage], limit: int, where: str) -> list[AnyMessage]:
    """The messages with tool outputs over `limit` characters cut to head and tail; `where` names the whole.

    Their images go: the files they were read from are still there.
    """
    return [_shortened(m, limit, where) if isinstance(m, ToolMessage) else m for m in messages]


def shorten_messages(messages: Sequence[AnyMessage], limit: int, where: str) -> list[AnyMessage]:
    """The messages with those of the user over `limit` characters cut to head and tail. What was typed stays known."""
    return [_message_shortened(m, limit, where) if is_users(m) and len(m.text) > limit else m for m in messages]


def _message_shortened(message: AnyMessage, limit: int, where: str) -> AnyMessage:
    kept = {**message.additional_kwargs, TYPED: users_words([message])}
    rest = [part for part in message.content if is_image(part)] if isinstance(message.content, list) else []
    text = _cut(message.text, limit, where)
    return message.model_copy(
        update={"content": [{"type": "text", "text": text}, *rest] if rest else text, "additional_kwargs": kept}
    )


def _shortened(message: ToolMessage, limit: int, where: str) -> ToolMessage:
    text: str = message.text
    if isinstance(message.content, list) and any(map(is_image, message.content)):
        text = f"{text}\n{IMAGE_GONE}"
        message = message.model_copy(update={"content": text})
    if len(text) <= limit:
        return message
    return message.model_copy(update={"content": _cut(text, limit, where)})


def _cut(text: str, limit: int, where: str) -> str:
    cut = f"\n[... {len(text) - limit} characters left out here; the whole is in {where} ...]\n"
    return text[: limit * 2 // 3] + cut + text[-(limit // 3) :]


def transcript(messages: Sequence[AnyMessage]) -> str:
    """The messages as plain text, for a summary and for the artifact that keeps what was removed."""
    return "\n\n".join(_entry(message) for message in messages)


def _entry(message: AnyMessage) -> str:
    who = {"human": "user" if is_users(message) else "note", "ai": "assistant", "tool": "result"}.get(message.type, "")
    lines = [f"## {who} {message.name or ''}".rstrip(), message.text]
    if isinstance(message, AIMessage):
        lines += [f"-> {call['name']} {call['args']}" for call in message.tool_calls]
    return "\n".join(line for line in lines if line)


def join(task: AnyMessage, summary: str, middle: Sequence[AnyMessage], tail: list[AnyMessage], ids: str) -> list[Any]:
    """The shortened conversation: the first task, what happened since, the newest groups; roles alternate."""
    said = "\n\n".join(f"The user also said:\n{one.text[:USER_WORDS]}" for one in middle if is_users(one))
    text = "\n\n".join(part for part in (summary, said) if part)
    happened = AIMessage(text, id=f"{SUMMARY}{ids}", additional_kwargs={TYPED: users_words(middle)})
    if tail and tail[0].type == "human":
        return [task, happened, *tail]
    return [task, happened, note("Go on from these notes.", id=f"note_{ids}"), *tail]
