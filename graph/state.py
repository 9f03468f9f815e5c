"""AgentState: what a checkpoint holds and undo takes back. Messages and plain JSON values only."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

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

RECENT_CALLS = 30
TYPED = "typed"
"""Where a message of the user keeps the user's own words when its text holds more than those."""
IMAGE_CHARACTERS = 6_000
"""What an image counts for in estimates: providers take about 1,500 tokens for a large one."""
SUMMARY = "summary_"
"""What the id of a compaction's notes begins with."""


class PlanStep(TypedDict):
    """One step of the plan."""

    text: str
    status: Literal["pending", "in_progress", "done", "dropped"]


class Outcome(TypedDict):
    """Why a turn ends: status is done, failed, limit, interrupted or stopped; exit_code as documented."""

    status: str
    text: str
    exit_code: int


def append_messages(current: list[AnyMessage], writes: Sequence[Any]) -> list[AnyMessage]:
    """Fold writes into the conversation: a new id is appended, a known one replaced, RemoveMessage removes.

    Deterministic and the same for any batching of the writes: it mints neither ids nor times.
    """
    merged = list(current)
    known = {message.id for message in merged}
    for write in writes:
        for message in cast(list[AnyMessage], convert_to_messages(write if isinstance(write, list) else [write])):
            place = _place(merged, message.id) if message.id in known else len(merged)
            known.add(message.id)
            if isinstance(message, RemoveMessage):
                del merged[place : place + 1]
            else:
                merged[place : place + 1] = [message]
    return merged


def _place(messages: list[AnyMessage], id: str | None) -> int:
    """Where the message with this id is, searched from the end; after the last one when there is none."""
    if id:
        for index in range(len(messages) - 1, -1, -1):
            if messages[index].id == id:
                return index
    return len(messages)


def append_recent(current: list[str], writes: Sequence[list[str]]) -> list[str]:
    """Keep the last RECENT_CALLS signatures; the same for any batching of the writes."""
    return [*current, *(item for write in writes for item in write)][-RECENT_CALLS:]


class AgentState(TypedDict, total=False):
    """The state of a thread. Everything here is taken back by undo; what must never be is in the store's tables."""

    messages: Annotated[list[AnyMessage], DeltaChannel(append_messages, snapshot_frequency=1000)]
    recent_calls: Annotated[list[str], DeltaChannel(append_recent, snapshot_frequency=RECENT_CALLS)]
    """Signatures of the last calls, for the loop guard; kept apart since compaction removes messages."""
    plan: list[PlanStep]
    decisions: dict[str, dict[str, Any]]
    """Answers to the open calls, by call id: {type, args?, message?, digest}."""
    rejected: dict[str, str]
    """Calls the user rejected since the last message, by digest, with the reason: they are not asked about again."""
    iteration: int
    """Model calls made in this turn."""
    replies: int
    """Replies of the model in this thread."""
    turn: int
    """User turns of this thread, from 1."""
    turn_text: str
    """The beginning of the user's message of this turn, for lists."""
    turn_before: str | None
    """Checkpoint that undo of this turn goes back to; "" is the empty thread, None means that nothing can be undone."""
    turn_files: str
    """Name of the snapshot of the workspace's files at the start of this turn; "" when there is none."""
    question: dict[str, Any] | None
    """What doom_check wants to ask the user: {id, text}."""
    guard: dict[str, int]
    """What doom_check remembers over a turn: repeats, nudges, malformed, empty, cut, overflows, raised."""
    outcome: Outcome | None
    """Set when the turn is to end; None while it goes on."""
    compaction: dict[str, Any] | None
    """A wish to compact: {reason: manual | overflow, keep: what must stay, in the user's words}."""
    context_tokens: int
    """Tokens of the last request and its reply as the provider counted them; 0 when unknown."""
    context_limit: int
    """Tokens above which the conversation is compacted; 0 when unknown."""
    taint: list[str]
    """Outside sources whose text is in the context."""
    reported_runs: list[str]
    """Ids of finished background runs the model was told about."""
    day: str
    """The date in the system prompt, fixed for a turn so that its prefix stays the same."""


def estimate_tokens(messages: Sequence[AnyMessage]) -> int:
    """A rough count, four characters a token, for what no provider has counted yet."""
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
    """Whether a block of a message's content is an image."""
    return isinstance(block, dict) and block.get("type") in ("image", "image_url")


def with_images(text: str, images: Sequence[str]) -> str | list[str | dict[str, Any]]:
    """The content of a message: its text, and images as data URLs."""
    shown: list[str | dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    return [{"type": "text", "text": text}, *shown] if shown else text


def is_users(message: AnyMessage) -> bool:
    """Whether these are the user's own words, not a correction or a note of the loop."""
    return message.type == "human" and not message.additional_kwargs.get("note")


def users_words(messages: Sequence[AnyMessage]) -> str:
    """All the user typed in this conversation, without the files, pipes and outputs that came along with it.

    A compaction keeps what it removes of it beside its notes.
    """
    told = [one for one in messages if one.type == "human" or (one.type == "ai" and (one.id or "").startswith(SUMMARY))]
    return "\n".join(filter(None, map(_typed, told)))


def _typed(message: AnyMessage) -> str:
    if message.type != "human":
        return str(message.additional_kwargs.get(TYPED, ""))
    return str(message.additional_kwargs.get(TYPED, message.text)) if is_users(message) else ""


def note(text: str, id: str) -> HumanMessage:
    """A message of the loop to the model: sent in the user's role, told apart from the user's words."""
    return HumanMessage(text, id=id, additional_kwargs={"note": True})


def open_calls(messages: Sequence[AnyMessage]) -> tuple[AIMessage | None, list[ToolCall]]:
    """The newest AIMessage with calls that no ToolMessage after it answers, and those calls in order."""
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
    """A result that begins with the call as it ran, where the user's decision was another one than the model's."""
    args = decision.get("args")
    if decision.get("type") != "edit" or args is None:
        return text
    return f"The user changed the call. It ran as {json.dumps(args, ensure_ascii=False)}\n{text}"


def result_message(
    call: ToolCall, message: AIMessage, text: str, *, ok: bool, images: Sequence[str] = ()
) -> ToolMessage:
    """The result of a call of `message`; its id is the same when it is made again. Images are data URLs."""
    return ToolMessage(
        with_images(text, images),
        tool_call_id=call["id"] or "",
        id=f"{message.id}:{call['id']}",
        name=call["name"],
        status="success" if ok else "error",
    )
