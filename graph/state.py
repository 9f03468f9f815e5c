"""AgentState: the contents of a checkpoint, which undo restores. Messages and plain JSON values only."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Annotated, Any, Generic, Literal, TypeVar, cast

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
    ToolCall,
    ToolMessage,
    convert_to_messages,
)
from langgraph.channels import DeltaChannel
from typing_extensions import TypedDict

T = TypeVar("T")

RECENT_CALLS = 30
TYPED = "typed"
"""Metadata key for the typed part of a user message that also contains other text."""
NOTE = "note"
"""Metadata key of a message from the program."""
STEERED = "steered"
"""Metadata key of a user message that was added to a running turn."""
IMAGES_WRITTEN = "images_written"
"""Metadata key of a result: the paths of the images that the call wrote, for the user."""
IMAGE_CHARACTERS = 6_000
"""Characters counted for an image in estimates: providers count about 1,500 tokens for a large one."""
SUMMARY = "summary_"
"""Prefix of the id of a compaction summary."""


class PlanStep(TypedDict):
    """One step of the plan."""

    text: str
    status: Literal["pending", "in_progress", "done", "dropped"]


class Outcome(TypedDict):
    """The result of a turn. Its status is done, contradicted, failed, limit, interrupted or stopped."""

    status: str
    text: str
    exit_code: int


def append_messages(current: list[AnyMessage], writes: Sequence[Any]) -> list[AnyMessage]:
    """Apply writes to the conversation: append new ids, replace known ids, and remove for RemoveMessage.

    The result does not depend on how the writes are batched. No ids or times are generated.
    """
    merged, places = list(current), _places_of(current)
    for write in writes:
        for message in cast(list[AnyMessage], convert_to_messages(write if isinstance(write, list) else [write])):
            place = places.get(message.id, len(merged))
            if place >= len(merged) or merged[place].id != message.id or not message.id:
                place = len(merged)
            if isinstance(message, RemoveMessage):
                del merged[place : place + 1]
                places = _counted(merged)
            else:
                merged[place : place + 1] = [message]
                if message.id and places.setdefault(message.id, place) != place:
                    places = _counted(merged)
    _recent_places.append((merged, places))
    return merged


_recent_places: deque[tuple[list[AnyMessage], dict[str | None, int]]] = deque(maxlen=4)
"""The conversations that were extended last, with the places of their messages by id.

Conversations that extend one another share the places, in which an id has the same place in all of them.
"""


def _places_of(messages: list[AnyMessage]) -> dict[str | None, int]:
    known = next((places for one, places in _recent_places if one == messages), None)  # LangGraph copies the list
    return _counted(messages) if known is None else known


def _counted(messages: list[AnyMessage]) -> dict[str | None, int]:
    return {message.id: place for place, message in enumerate(messages)}


def append_recent(current: list[str], writes: Sequence[list[str]]) -> list[str]:
    """Append signatures and return the last RECENT_CALLS. The result does not depend on the batching of the writes."""
    return [*current, *(item for write in writes for item in write)][-RECENT_CALLS:]


def merge_reads(current: dict[str, str], writes: Sequence[dict[str, str]]) -> dict[str, str]:
    """Merge digests by path, later ones winning. The result does not depend on the batching of the writes."""
    merged = dict(current)
    for write in writes:
        merged |= write
    return merged


class AgentState(TypedDict, total=False):
    """The state of a thread. Undo restores all of it; data that undo must not change is in the store's tables."""

    messages: Annotated[list[AnyMessage], DeltaChannel(append_messages, snapshot_frequency=1000)]
    recent_calls: Annotated[list[str], DeltaChannel(append_recent, snapshot_frequency=RECENT_CALLS)]
    """Signatures of the last calls of this turn, for the loop guard. Compaction does not remove them."""
    file_reads: Annotated[dict[str, str], DeltaChannel(merge_reads, snapshot_frequency=100)]
    """Path -> digest of the content that the model last read or wrote. write and edit check it."""
    plan: list[PlanStep]
    decisions: dict[str, dict[str, Any]]
    """Answers to the open calls, by call id: {type, args?, message?, digest}."""
    rejected: dict[str, str]
    """Reasons by digest for calls that the user rejected since the last message. They are rejected again unasked."""
    iteration: int
    """Model calls made in this turn."""
    replies: int
    """Replies of the model in this thread."""
    turn: int
    """User turns of this thread, from 1."""
    turn_text: str
    """The beginning of this turn's user message, for lists of turns."""
    turn_before: str | None
    """Checkpoint that undo of this turn restores; "" is the empty thread, None means that undo is impossible."""
    turn_files: str
    """Name of the file snapshot at the start of this turn; "" if there is none."""
    question: dict[str, Any] | None
    """The pending question of doom_check to the user: {id, text, kind}."""
    guard: dict[str, int]
    """Counters of doom_check in this turn: repeats, nudges, malformed, empty, cut, overflows, raised."""
    outcome: Outcome | None
    """The result of the turn; None while it continues."""
    verification: dict[str, Any] | None
    """The check of an answer: {answer: its message id, state: asked | done, verdict?: see evidence/verdict.py}."""
    compaction: dict[str, Any] | None
    """A requested compaction: {reason: manual | overflow, keep: what to preserve, in the user's words}."""
    context_tokens: int
    """Tokens of the last request and its reply as the provider counted them; 0 when unknown."""
    context_limit: int
    """Tokens above which the conversation is compacted; 0 when unknown."""
    taint: list[str]
    """Sources of the untrusted text in the context."""
    collection: str
    """Whether a Hub collection gathers what this thread publishes: the answer "yes" or "no", "off" when the setting was
    reported instead of a question, else ""."""
    reported_runs: list[str]
    """Ids of the finished background runs that were reported to the model."""
    day: str
    """The date in the system prompt, fixed for a turn so that the request prefix stays identical."""


def estimate_tokens(messages: Sequence[AnyMessage]) -> int:
    """Estimate the tokens of messages that no provider has counted, at four characters per token."""
    return sum(_characters(message) for message in messages) // 4


def _characters(message: AnyMessage) -> int:
    if isinstance(message.content, str):
        size = len(message.content)
    else:
        size = sum(IMAGE_CHARACTERS if is_image(block) else len(str(block)) for block in message.content)
    if isinstance(message, AIMessage) and message.tool_calls:
        size += sum(len(str(call["args"])) + len(call["name"]) for call in message.tool_calls)
    return size


def is_image(block: Any) -> bool:
    """Return whether a content block is an image."""
    return isinstance(block, dict) and block.get("type") in ("image", "image_url")


def with_images(text: str, images: Sequence[str]) -> str | list[str | dict[str, Any]]:
    """Return the content of a message with a text and images, given as data URLs."""
    shown: list[str | dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return [{"type": "text", "text": text}, *shown] if shown else text


def role_of(message: AnyMessage) -> Literal["user", "note", "assistant", "tool"]:
    """Return who a message is from. A note is from the program, although the model receives it in the user's role.

    Notes are corrections, reports of runs, and records of what the user did outside a message, such as `!command`.
    """
    if message.type in ("ai", "tool"):
        return "assistant" if message.type == "ai" else "tool"
    return "note" if message.additional_kwargs.get(NOTE) or _is_unmarked_note(message) else "user"


def _is_unmarked_note(message: AnyMessage) -> bool:
    """Return whether this is a record of an action in the form of version 0.1.0, which did not mark it."""
    typed = message.additional_kwargs.get(TYPED)
    if not typed:
        return typed == "" and message.text.startswith("I restored the files to their state at the start of turn ")
    return message.text.startswith((f"I ran `{typed}`:\n", f"I ran `{typed}`. It was cut off"))


def is_user_message(message: AnyMessage) -> bool:
    """Return whether the user wrote the message."""
    return role_of(message) == "user"


def typed_text(messages: Sequence[AnyMessage]) -> str:
    """Return everything the user typed in this conversation, without attached files, piped input and outputs.

    A compaction summary stores the typed text of the messages it replaces.
    """
    return _typed_texts(messages)


def _with_typed(before: str, message: AnyMessage) -> str:
    is_source = message.type == "human" or (message.type == "ai" and (message.id or "").startswith(SUMMARY))
    return "\n".join(filter(None, (before, _typed(message)))) if is_source else before


def _typed(message: AnyMessage) -> str:
    return str(message.additional_kwargs.get(TYPED, message.text if is_user_message(message) else ""))


class Accumulated(Generic[T]):
    """A value computed message by message. For a conversation that extends the last one, only the new ones are read."""

    def __init__(self, start: T, add: Callable[[T, AnyMessage], T]) -> None:
        self._start = start
        self._add = add
        self._last: tuple[Sequence[AnyMessage], T] = ((), start)

    def __call__(self, messages: Sequence[AnyMessage]) -> T:
        """Return the value for a conversation."""
        known, value = self._last
        if len(known) > len(messages) or not all(map(is_, known, messages)):
            known, value = (), self._start
        for message in messages[len(known) :]:
            value = self._add(value, message)
        self._last = tuple(messages), value
        return value


_typed_texts = Accumulated("", _with_typed)


def note(text: str, id: str, typed: str | None = None) -> HumanMessage:
    """Return a note to the model. `typed` is the part of it that the user typed, such as a command."""
    return HumanMessage(text, id=id, additional_kwargs={NOTE: True, **({} if typed is None else {TYPED: typed})})


def open_calls(messages: Sequence[AnyMessage]) -> tuple[AIMessage | None, list[ToolCall]]:
    """Return the last AIMessage if some of its calls have no result, and those calls in order."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, AIMessage):
            if not message.tool_calls:
                return None, []
            answered = {later.tool_call_id for later in messages[index + 1 :] if isinstance(later, ToolMessage)}
            unanswered = [call for call in message.tool_calls if call["id"] not in answered]
            return (message, unanswered) if unanswered else (None, [])
    return None, []


def as_run(text: str, decision: Mapping[str, Any]) -> str:
    """Return the result, beginning with the arguments as run if the user edited the call."""
    args = decision.get("args")
    if decision.get("type") != "edit" or args is None:
        return text
    return f"The user changed the call. It ran as {json.dumps(args, ensure_ascii=False)}\n{text}"


def result_message(
    call: ToolCall, message: AIMessage, text: str, *, ok: bool, images: Sequence[str] = (), written: Sequence[str] = ()
) -> ToolMessage:
    """Return the result of a call of `message`, with a reproducible id.

    `images` are data URLs, `written` the paths of images that the call wrote.
    """
    return ToolMessage(
        with_images(text, images),
        tool_call_id=call["id"] or "",
        id=f"{message.id}:{call['id']}",
        name=call["name"],
        status="success" if ok else "error",
        additional_kwargs={IMAGES_WRITTEN: list(written)} if written else {},
    )
