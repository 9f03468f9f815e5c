"""Shorten a conversation. Calls stay together with their results, and the first task is preserved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from ml_intern.graph.state import SUMMARY, TYPED, estimate_tokens, is_image, note, role_of, typed_text
from ml_intern.nodes.compaction.words import WORDS, quoted, unquoted, words_of

OLD_OUTPUT = 1_000
"""Characters that remain of an old tool output."""
IMAGE_REMOVED = "[image removed; read the file again to see it]"
LONG_MESSAGE = 1_000
"""Characters that remain at least of a long user message."""

TAIL_DIVISOR = 4
"""The latest messages are preserved up to one fourth of the available tokens."""
GOAL_DIVISOR = 2
"""Shortening the outputs is enough when the conversation then takes less than half of the available tokens."""
SUMMARY_WORDS = (1_200, 400)

Group = list[AnyMessage]


@dataclass(frozen=True)
class TokenAllowance:
    """The tokens available to the messages, and the ratio of the provider's count to the estimate."""

    tokens: int
    scale: float = 1.0

    def size(self, messages: Sequence[AnyMessage]) -> int:
        """Return the tokens of the messages as the provider would count them."""
        return int(estimate_tokens(messages) * self.scale)

    def tail(self, messages: Sequence[AnyMessage], *, manual: bool, hard: bool) -> int:
        """Return how many estimated tokens of the latest messages are preserved."""
        whole = estimate_tokens(messages) if manual else self.tokens / self.scale
        return max(1, int(whole / TAIL_DIVISOR / (4 if hard else 1)))

    @property
    def quarter(self) -> int:
        """Return the characters that take a fourth of the tokens."""
        return int(self.tokens / self.scale)


class Summarise(Protocol):
    """Summarise the middle of a conversation."""

    async def __call__(self, middle: Sequence[AnyMessage], words: int, /) -> str:
        """Return a summary of at most `words` words; empty if the model returned none."""
        ...


async def shortened(
    messages: list[AnyMessage],
    allowance: TokenAllowance,
    summarise: Summarise,
    where: str,
    *,
    manual: bool = False,
    hard: bool = False,
) -> list[AnyMessage] | None:
    """Shorten old outputs, else summarise the middle, else remove it. Return None if it stays too long.

    `where` names the file with the full text. `hard` preserves less. `manual` shortens a conversation that fits, by a
    summary or not at all.
    """
    keep = allowance.tail(messages, manual=manual, hard=hard)
    older, tail = split(messages, keep)
    if not manual and not hard:
        light = [*shorten_outputs(older, OLD_OUTPUT, where), *tail]
        if allowance.size(light) < min(allowance.tokens // GOAL_DIVISOR, allowance.size(messages)):
            return light
    if not older:
        older, tail = tail[:1], tail[1:]
    tail = shorten_outputs(tail, max(OLD_OUTPUT, keep * 2), where) if hard or allowance.size(tail) > keep * 2 else tail
    task, middle = older[0], older[1:]
    if not middle:
        return _fitting([task, *tail], messages, allowance, where)
    said = quoted(words_of(middle), allowance.quarter, where)
    for words in SUMMARY_WORDS:
        summary = await summarise(shorten_outputs(middle, OLD_OUTPUT, where), words)
        notes = f"{summary}\n\n[The full text of the summarised messages is in {where}.]"
        shorter: list[AnyMessage] = join(task, f"{notes}\n\n{said}".rstrip(), middle, tail) if summary else []
        if shorter and _if_shorter(shorter, messages, allowance):
            return shorter
    if manual:
        return None
    removed = f"[The removed messages are in {where}.]"
    fewer = quoted(words_of(middle), allowance.quarter // 4, where)
    cuts = (join(task, f"{removed}\n\n{words}".rstrip(), middle, tail) for words in (said, fewer))
    return next((found for cut in cuts if (found := _fitting(cut, messages, allowance, where))), None)


def _fitting(
    new: list[AnyMessage], old: Sequence[AnyMessage], allowance: TokenAllowance, where: str
) -> list[AnyMessage] | None:
    """Return `new`, with long user messages shortened only if it does not fit otherwise; None if it never fits."""
    limits = (max(LONG_MESSAGE, allowance.quarter), max(LONG_MESSAGE, allowance.quarter // 4))
    attempts = (new, *(shorten_messages(new, limit, where) for limit in limits))
    return next((found for attempt in attempts if (found := _if_shorter(attempt, old, allowance))), None)


def _if_shorter(new: list[AnyMessage], old: Sequence[AnyMessage], allowance: TokenAllowance) -> list[AnyMessage] | None:
    return new if allowance.size(new) < min(allowance.tokens, allowance.size(old)) else None


def groups(messages: Sequence[AnyMessage]) -> list[Group]:
    """Split the conversation into inseparable groups: a reply with its results, or one other message."""
    pieces: list[Group] = []
    for message in messages:
        if isinstance(message, ToolMessage) and pieces:
            pieces[-1].append(message)
        else:
            pieces.append([message])
    return pieces


def split(messages: Sequence[AnyMessage], keep_tokens: int) -> tuple[list[AnyMessage], list[AnyMessage]]:
    """Return the older messages and the latest groups of about `keep_tokens`, which include at least one group."""
    pieces = groups(messages)
    start, total = len(pieces), 0
    while start > 0:
        size = estimate_tokens(pieces[start - 1])
        if total and total + size > keep_tokens:
            break
        total += size
        start -= 1
    return [m for piece in pieces[:start] for m in piece], [m for piece in pieces[start:] for m in piece]


def shorten_outputs(messages: Sequence[AnyMessage], limit: int, where: str) -> list[AnyMessage]:
    """Cut tool outputs over `limit` characters to head and tail; `where` names the file with the full text.

    Images are removed, because the model can read their files again.
    """
    return [_shortened(m, limit, where) if isinstance(m, ToolMessage) else m for m in messages]


def shorten_messages(messages: Sequence[AnyMessage], limit: int, where: str) -> list[AnyMessage]:
    """Cut user messages and notes over `limit` characters to head and tail. The typed text stays in their metadata."""
    return [_message_shortened(m, limit, where) if m.type == "human" and len(m.text) > limit else m for m in messages]


def _message_shortened(message: AnyMessage, limit: int, where: str) -> AnyMessage:
    metadata = {**message.additional_kwargs, TYPED: typed_text([message])}
    rest = [part for part in message.content if is_image(part)] if isinstance(message.content, list) else []
    text = _cut(message.text, limit, where)
    return message.model_copy(
        update={"content": [{"type": "text", "text": text}, *rest] if rest else text, "additional_kwargs": metadata}
    )


def _shortened(message: ToolMessage, limit: int, where: str) -> ToolMessage:
    text: str = message.text
    if isinstance(message.content, list) and any(map(is_image, message.content)):
        text = f"{text}\n{IMAGE_REMOVED}"
        message = message.model_copy(update={"content": text})
    if len(text) <= limit:
        return message
    return message.model_copy(update={"content": _cut(text, limit, where)})


def _cut(text: str, limit: int, where: str) -> str:
    cut = f"\n[... {len(text) - limit} characters omitted; the full text is in {where} ...]\n"
    return text[: limit * 2 // 3] + cut + text[-(limit // 3) :]


def transcript(messages: Sequence[AnyMessage]) -> str:
    """Return the messages as plain text, for the summary and for the artifact file."""
    return "\n\n".join(_entry(message) for message in messages)


def _entry(message: AnyMessage) -> str:
    role = role_of(message)
    lines = [f"## {'result' if role == 'tool' else role} {message.name or ''}".rstrip(), message.text]
    if isinstance(message, AIMessage):
        lines += [f"-> {call['name']} {call['args']}" for call in message.tool_calls]
        lines.append(unquoted(message))
    return "\n".join(line for line in lines if line)


def join(task: AnyMessage, summary: str, middle: Sequence[AnyMessage], tail: list[AnyMessage]) -> list[Any]:
    """Join the first task, the summary and the latest groups into a conversation with alternating roles."""
    ids = uuid4().hex
    metadata = {TYPED: typed_text(middle), WORDS: words_of(middle)}
    happened = AIMessage(summary, id=f"{SUMMARY}{ids}", additional_kwargs=metadata)
    if tail and tail[0].type == "human":
        return [task, happened, *tail]
    return [task, happened, note("Continue from these notes.", id=f"note_{ids}"), *tail]
