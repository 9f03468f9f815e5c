"""A conversation as plain data, the common form of all export and import formats. Independent of LangChain."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "assistant", "tool", "note"]
"""A note is a message from the program to the model, which receives it in the user's role."""


@dataclass(frozen=True)
class Call:
    """A tool call of a reply."""

    id: str
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One message. `time` is in seconds since the epoch, None if it was not recorded."""

    role: Role
    text: str
    id: str = ""
    calls: tuple[Call, ...] = ()
    """Replies only: the tool calls in the model's order."""
    reasoning: str = ""
    images: tuple[str, ...] = ()
    """Data URLs or web addresses."""
    call_id: str = ""
    """Tool results only: the id of the call."""
    name: str = ""
    """Tool results only: the name of the tool."""
    ok: bool = True
    turn: int = 0
    """User messages only: the number of the turn that the message starts; 0 means the next turn."""
    steered: bool = False
    """User messages only: the message was added to a running turn and starts none."""
    time: float | None = None
    seconds: float | None = None
    """Tool results only: the duration of the call."""
    images_written: tuple[str, ...] = ()
    """Tool results only: the paths of the images that the call wrote."""


@dataclass(frozen=True)
class TurnEnding:
    """The end of a turn. `status` is done, failed, limit, interrupted or stopped; `time` in seconds since the epoch."""

    status: str
    text: str
    exit_code: int
    iterations: int
    time: float | None = None


@dataclass(frozen=True)
class RequestUsage:
    """Tokens and cost of one model request; `time` is the time of the reply in seconds since the epoch."""

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
    """A thread. Times are in seconds since the epoch, costs in US dollars; None means unknown."""

    thread_id: str
    messages: Sequence[Message]
    title: str = ""
    folder: str = ""
    model: str = ""
    created: float | None = None
    updated: float | None = None
    cost_usd: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Numbers of requests and tokens, with the keys of the event `result`."""
    requests: Sequence[RequestUsage] = ()
    """All paid requests in order of time, including those of sub-agents and of undone turns."""
    file_reads: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path -> digest of the files that the model has read."""
    endings: Mapping[int, TurnEnding] = field(default_factory=dict[int, TurnEnding])
    """Turn number to ending; unknown endings are absent."""

    def results(self) -> dict[tuple[int, str], Message]:
        """Return the result of each call, keyed by the index of its reply in `messages` and the call's id."""
        found: dict[tuple[int, str], Message] = {}
        reply = -1
        for place, message in enumerate(self.messages):
            if message.role == "assistant":
                reply = place
            elif message.role == "tool":
                found.setdefault((reply, message.call_id), message)
        return found


def default_title(messages: Sequence[Message], length: int = 60) -> str:
    """Return a title for an untitled conversation: the beginning of the user's first message."""
    text = next((message.text for message in messages if message.role == "user" and message.text.strip()), "")
    return " ".join(text.split())[:length]


def json_lines(values: Iterable[Mapping[str, Any]]) -> str:
    """Return one ASCII line per value, so that every reader splits the same lines."""
    return "".join(f"{json.dumps(value)}\n" for value in values)
