"""What goes into a model call and what comes out of it, as plain frozen values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage

REFUSAL = "refusal"
"""The finish of a reply in which the model refuses."""
Source = Literal["main", "research", "compaction", "job"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True)
class ModelRequest:
    """One model call, whatever its provider."""

    model: str
    messages: Sequence[AnyMessage]
    """The conversation, the system message first."""
    tools: Sequence[dict[str, Any]] = ()
    """OpenAI function schemas: {"type": "function", "function": {...}}."""
    thread_id: str = ""
    root_id: str = ""
    """The thread whose budget pays; the thread itself when it has no parent."""
    source: Source = "main"
    effort: str | None = None
    stream: bool = True
    """False: no assistant_chunk events, and a plain (not streamed) request where the provider allows."""
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the request: temperature, max_tokens ..."""
    fallback: str | None = None
    """The model asked when this one stays unavailable; None: none."""
    known_call_ids: frozenset[str] = frozenset()
    """Tool call ids the thread already holds; a reply that repeats one gets a new id."""
    cap_usd: float | None = None
    """US dollars the whole tree of agents may spend; a request that might exceed it is not sent. None: no cap."""
    step: int | None = None
    """Replies the thread has had so far, for a scripted model; None counts the AIMessages."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one call; the input includes those read from and written to a cache, the output those of reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    """The provider sent no usage: these are characters / 4."""
    cost_usd: float | None = None
    """What the provider itself says the call cost, if it does."""
    served_by: str | None = None
    """The provider behind a router, when it says so."""


@dataclass(frozen=True)
class ModelReply:
    """A whole, parsed reply. `message` has its id, its calls and `usage_metadata`; see models.reply for their rules."""

    message: AIMessage
    usage: Usage
    finish_reason: FinishReason
    cost_usd: float | None
    """US dollars; None when the price is unknown."""


@dataclass(frozen=True, slots=True)
class CallPart:
    """A fragment of a tool call: the arguments of all fragments with one index are one JSON text."""

    index: int | None
    id: str | None
    name: str | None
    args: str


@dataclass(frozen=True, slots=True)
class ReplyPart:
    """A fragment of a reply, as a transport reads it."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[CallPart, ...] = ()
    finish: str | None = None
    """The provider's own word for why the reply ended."""
    usage: Usage | None = None
    extras: Mapping[str, Any] | None = None
    """additional_kwargs to keep on the message, such as signed thinking blocks."""
