"""The input and output of a model call, as frozen values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import AIMessage, AnyMessage

if TYPE_CHECKING:
    from ml_intern.store.ledger import Source

REFUSAL = "refusal"
"""The finish reason of a reply in which the model refuses."""
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True)
class ModelRequest:
    """One model call, independent of the provider."""

    model: str
    messages: Sequence[AnyMessage]
    """The conversation, the system message first."""
    tools: Sequence[dict[str, Any]] = ()
    """OpenAI function schemas: {"type": "function", "function": {...}}."""
    thread_id: str = ""
    root_id: str = ""
    """The thread whose budget is charged; the thread itself when it has no parent."""
    source: "Source" = "main"
    effort: str | None = None
    stream: bool = True
    """False: no assistant_chunk events, and a plain (not streamed) request where the provider allows."""
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Additional request parameters, such as temperature or max_tokens."""
    fallback: str | None = None
    """The model to use when this one stays unavailable; None: none."""
    known_call_ids: frozenset[str] = frozenset()
    """Tool call ids already in the thread; a reply that repeats one gets a new id."""
    cap_usd: float | None = None
    """Budget of the whole tree of agents in US dollars; a request that may exceed it is not sent. None: no limit."""
    step: int | None = None
    """Number of replies so far, for a scripted model; None: count the AIMessages."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one call. The input includes those read from and written to a cache, the output those of reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    """The provider sent no usage; these are characters / 4."""
    cost_usd: float | None = None
    """The cost reported by the provider, if it reports one."""
    served_by: str | None = None
    """The provider behind a router, if the router names it."""


@dataclass(frozen=True)
class ModelReply:
    """A complete, parsed reply. models.reply describes the id, calls and `usage_metadata` of `message`."""

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
    """A fragment of a reply from a transport."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[CallPart, ...] = ()
    finish: str | None = None
    """The provider's finish reason."""
    usage: Usage | None = None
    extras: Mapping[str, Any] | None = None
    """additional_kwargs for the message, such as signed thinking blocks."""
