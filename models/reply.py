"""Assembly of a reply: fragments in, one AIMessage with strictly parsed calls out."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCall, tool_call

from ml_intern.configs.errors import ModelFailed
from ml_intern.graph.state import estimate_tokens
from ml_intern.models.parsing import MAX_CALLS, RAW_SHOWN, InvalidArguments, clean_text, parse_arguments
from ml_intern.models.request import REFUSAL, CallPart, FinishReason, ReplyPart, Usage

CHARACTERS_PER_TOKEN = 4
MAX_CHARACTERS = 16_000_000
_FINISH: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
    REFUSAL: "content_filter",
    "safety": "content_filter",
}


@dataclass
class CallDraft:
    """A tool call of which fragments still arrive."""

    id: str = ""
    name: str = ""
    args: list[str] = field(default_factory=list[str])


@dataclass
class Draft:
    """A reply of which fragments still arrive. The caller creates `message_id`."""

    message_id: str
    text: list[str] = field(default_factory=list[str])
    reasoning: list[str] = field(default_factory=list[str])
    calls: list[CallDraft] = field(default_factory=list[CallDraft])
    finish: str | None = None
    usage: Usage | None = None
    extras: dict[str, Any] = field(default_factory=dict[str, Any])
    _characters: int = 0
    _by_index: dict[int, CallDraft] = field(default_factory=dict[int, CallDraft])

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the reply has arrived."""
        return not (self.text or self.reasoning or self.calls)

    def add(self, part: ReplyPart) -> None:
        """Add one fragment. Raises ModelFailed when the reply becomes too long."""
        self._characters += len(part.text) + len(part.reasoning) + sum(len(call.args) for call in part.calls)
        if self._characters > MAX_CHARACTERS:
            raise ModelFailed(f"the reply exceeds {MAX_CHARACTERS:,} characters", "try another model")
        if part.text:
            self.text.append(part.text)
        if part.reasoning:
            self.reasoning.append(part.reasoning)
        for call in part.calls:
            self._add_call(call)
        if self.finish != REFUSAL:  # a "stop" follows a refusal
            self.finish = part.finish or self.finish
        self.usage = part.usage or self.usage
        for key, value in (part.extras or {}).items():
            self.extras[key] = [*self.extras.get(key, []), *value] if isinstance(value, list) else value

    def _add_call(self, part: CallPart) -> None:
        call = self._slot(part)
        call.id = call.id or clean_text(part.id or "")
        call.name = call.name or part.name or ""
        call.args.append(part.args)

    def _slot(self, part: CallPart) -> CallDraft:
        """Return the call of a fragment. Some servers send no index, others index 0 for every call: the id decides."""
        known = self._by_index.get(part.index) if part.index is not None else self._last(part)
        another = known is not None and bool(part.name and part.id and known.id and part.id != known.id)
        if known is None or another:
            known = CallDraft()
            self.calls.append(known)
            if part.index is not None:
                self._by_index[part.index] = known
        return known

    def _last(self, part: CallPart) -> CallDraft | None:
        return None if part.name or not self.calls else self.calls[-1]

    def finish_reason(self) -> FinishReason:
        """Normalise the finish reason. With calls, "stop" is "tool_calls"; "length" stays: a call may be incomplete."""
        reason = _FINISH.get((self.finish or "").lower())
        return reason or ("tool_calls" if self.calls else "stop")

    def message(self, model: str, usage: Usage, known_call_ids: Collection[str]) -> AIMessage:
        """Return the AIMessage with all calls in order, with unique ids. Calls that cannot run are in "invalid_calls".

        additional_kwargs["invalid_calls"] maps a call's id to {"error": the parser's message, "raw": the first 500
        characters}. Such a call has empty arguments.
        """
        invalid: dict[str, dict[str, str]] = {}
        taken = set(known_call_ids)
        calls = [_finished_call(call, place, taken, invalid) for place, call in enumerate(self.calls)]
        kwargs = dict(self.extras)
        if self.reasoning:
            kwargs["reasoning_content"] = clean_text("".join(self.reasoning))
        if invalid:
            kwargs["invalid_calls"] = invalid
        return AIMessage(
            content=clean_text("".join(self.text)),
            id=self.message_id,
            tool_calls=calls,
            additional_kwargs=kwargs,
            response_metadata={"model": model, "finish_reason": self.finish_reason()},
            usage_metadata=usage_metadata(usage),
        )

    def estimate(self, messages: Sequence[AnyMessage], tools: Sequence[Any] = ()) -> Usage:
        """Estimate the usage from characters, for a provider that sends none. It is marked as estimated."""
        written = sum(map(len, self._written()))
        return Usage(
            input_tokens=estimate_tokens(messages) + (len(json.dumps(tools)) // CHARACTERS_PER_TOKEN if tools else 0),
            output_tokens=written // CHARACTERS_PER_TOKEN,
            estimated=True,
        )

    def _written(self) -> Iterator[str]:
        yield from self.text
        yield from self.reasoning
        for call in self.calls:
            yield from call.args


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Convert usage to LangChain's format."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens, cache_creation=usage.cache_write_tokens),
        output_token_details=OutputTokenDetails(reasoning=usage.reasoning_tokens),
    )


def _finished_call(draft: CallDraft, place: int, taken: set[str], invalid: dict[str, dict[str, str]]) -> ToolCall:
    call_id = draft.id if draft.id and draft.id not in taken else f"call_{uuid4().hex}"
    taken.add(call_id)
    raw = "".join(draft.args)
    args: dict[str, Any] = {}
    try:
        args = _runnable_arguments(draft, place, raw)
    except InvalidArguments as error:
        invalid[call_id] = {"error": str(error), "raw": clean_text(raw[:RAW_SHOWN])}
    return tool_call(name=clean_text(draft.name), args=args, id=call_id)


def _runnable_arguments(draft: CallDraft, place: int, raw: str) -> dict[str, Any]:
    if place >= MAX_CALLS:
        raise InvalidArguments(f"not run: a reply may have at most {MAX_CALLS} calls, this is number {place + 1}")
    if not draft.name:
        raise InvalidArguments("the call does not name a tool")
    return parse_arguments(raw)
