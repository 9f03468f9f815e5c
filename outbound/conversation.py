"""A conversation as plain data: what every format is written from and read into. Nothing here knows LangChain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "assistant", "tool", "note"]
"""A note is a word of the loop to the model, sent in the user's role."""


@dataclass(frozen=True)
class Call:
    """A tool call of a reply."""

    id: str
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One message. `time` is seconds since the epoch, None where nobody kept it."""

    role: Role
    text: str
    id: str = ""
    calls: tuple[Call, ...] = ()
    """Of a reply, in the model's order."""
    reasoning: str = ""
    images: tuple[str, ...] = ()
    """As data URLs, or as addresses."""
    call_id: str = ""
    """Of a tool's result: the call it answers."""
    name: str = ""
    """Of a tool's result: the tool."""
    ok: bool = True
    turn: int = 0
    """Of the user's message: the number of the turn it begins; 0 is the next one."""
    time: float | None = None
    seconds: float | None = None
    """Of a tool's result: how long the call took."""


@dataclass(frozen=True)
class Ending:
    """How a turn ended: status is done, failed, limit, interrupted or stopped; `time` is seconds since the epoch."""

    status: str
    text: str
    exit_code: int
    iterations: int
    time: float | None = None


@dataclass(frozen=True)
class Usage:
    """What one request to a model used; `time` is when it was answered, in seconds since the epoch."""

    model: str
    source: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float | None
    time: float


@dataclass(frozen=True)
class Conversation:
    """A thread. Times are seconds since the epoch, costs US dollars; None is unknown."""

    thread_id: str
    messages: Sequence[Message]
    title: str = ""
    folder: str = ""
    model: str = ""
    created: float | None = None
    updated: float | None = None
    cost_usd: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Requests and tokens, by the names that the event `result` gives them."""
    requests: Sequence[Usage] = ()
    """What was paid for, in the order of time: sub-agents and what was undone too."""
    endings: Mapping[int, Ending] = field(default_factory=dict[int, Ending])
    """By the number of the turn, as far as they are known."""

    def results(self) -> dict[tuple[int, str], Message]:
        """The result of each call, by the place of its reply among the messages and the call's id."""
        found: dict[tuple[int, str], Message] = {}
        reply = -1
        for place, message in enumerate(self.messages):
            if message.role == "assistant":
                reply = place
            elif message.role == "tool":
                found.setdefault((reply, message.call_id), message)
        return found


def first_words(messages: Sequence[Message], length: int = 60) -> str:
    """A title for a conversation that has none: how its first message of the user begins."""
    text = next((message.text for message in messages if message.role == "user" and message.text.strip()), "")
    return " ".join(text.split())[:length]
