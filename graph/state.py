"""AgentState: what a checkpoint holds and undo takes back. Messages and plain JSON values only."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, RemoveMessage, ToolMessage, convert_to_messages
from langgraph.channels import DeltaChannel
from typing_extensions import TypedDict

RECENT_CALLS = 30


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
    position = {message.id: index for index, message in enumerate(merged) if message.id}
    for write in writes:
        for message in convert_to_messages(write if isinstance(write, list) else [write]):
            if isinstance(message, RemoveMessage):
                merged = [kept for kept in merged if kept.id != message.id]
                position = {kept.id: index for index, kept in enumerate(merged) if kept.id}
            elif message.id and message.id in position:
                merged[position[message.id]] = message
            else:
                if message.id:
                    position[message.id] = len(merged)
                merged.append(message)
    return merged


def append_recent(current: list[str], writes: Sequence[list[str]]) -> list[str]:
    """Keep the last RECENT_CALLS signatures; the same for any batching of the writes."""
    return [*current, *(item for write in writes for item in write)][-RECENT_CALLS:]


class AgentState(TypedDict, total=False):
    """The state of a thread. Everything here is taken back by undo; what must never be is in the store's tables."""

    messages: Annotated[list[AnyMessage], DeltaChannel(append_messages, snapshot_frequency=1000)]
    recent_calls: Annotated[list[str], DeltaChannel(append_recent, snapshot_frequency=1000)]
    """Signatures of the last calls, for the loop guard; kept apart since compaction removes messages."""
    plan: list[PlanStep]
    decisions: dict[str, dict[str, Any]]
    """Answers to the open calls, by call id: {type, args?, message?, digest}."""
    iteration: int
    """Model calls made in this turn."""
    turn: int
    """User turns of this thread, from 1."""
    question: dict[str, Any] | None
    """What doom_check wants to ask the user: {id, text}."""
    guard: dict[str, int]
    """What doom_check remembers: streak, nudges, malformed, empty, cut."""
    outcome: Outcome | None
    """Set when the turn is to end; None while it goes on."""
    compaction: dict[str, Any] | None
    """A wish to compact: {reason: manual|overflow|threshold, keep: str, attempts: int}."""
    context_tokens: int
    """Tokens of the last request as the provider counted them; 0 when unknown."""
    taint: list[str]
    """Outside sources whose text is in the context."""
    reported_runs: list[str]
    """Ids of finished background runs the model was told about."""
    day: str
    """The date in the system prompt, fixed for a turn so that its prefix stays the same."""


def open_calls(messages: Sequence[AnyMessage]) -> tuple[AIMessage | None, list[Any]]:
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
