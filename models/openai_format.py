"""Parsing of OpenAI's chat completion objects, in the variants that servers really send."""

import json
from collections.abc import Mapping
from typing import Any

from ml_intern.models.parsing import clean_text, count_of, mapping_of
from ml_intern.models.request import REFUSAL, CallPart, ReplyPart, Usage

MAX_DOLLARS = 10**6
"""Larger costs are treated as invalid."""
SERVED_BY = "x-inference-provider"


def part_of_chunk(chunk: Mapping[str, Any], headers: Mapping[str, str]) -> ReplyPart:
    """Return the fragment in one chunk of a stream. Anything not in OpenAI's format is ignored."""
    choice = _first(chunk.get("choices"))
    return _part(mapping_of(choice.get("delta")), choice, usage_of(chunk.get("usage"), headers))


def part_of_reply(reply: Mapping[str, Any], headers: Mapping[str, str]) -> ReplyPart:
    """Return a reply that was not streamed as one fragment."""
    choice = _first(reply.get("choices"))
    return _part(mapping_of(choice.get("message")), choice, usage_of(reply.get("usage"), headers))


def usage_of(usage: Any, headers: Mapping[str, str] | None = None) -> Usage | None:
    """Return the usage a provider reports. None when it reports none or no valid counts."""
    if not isinstance(usage, Mapping):
        return None
    read_in, written_out = count_of(usage.get("prompt_tokens")), count_of(usage.get("completion_tokens"))
    if not (read_in or written_out):
        return None
    prompt = mapping_of(usage.get("prompt_tokens_details"))
    written = mapping_of(usage.get("completion_tokens_details"))
    return Usage(
        input_tokens=read_in,
        output_tokens=written_out,
        cached_tokens=count_of(prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")),
        cache_write_tokens=count_of(prompt.get("cache_write_tokens")),
        reasoning_tokens=count_of(written.get("reasoning_tokens")),
        cost_usd=_cost(usage.get("cost")),
        served_by=(headers or {}).get(SERVED_BY),
    )


def _part(message: Mapping[str, Any], choice: Mapping[str, Any], usage: Usage | None) -> ReplyPart:
    refusal = _text(message.get("refusal"))
    calls = message.get("tool_calls")
    return ReplyPart(
        text=_text(message.get("content")) + refusal,
        reasoning=_text(message.get("reasoning_content") or message.get("reasoning")),
        calls=tuple(_call(call) for call in calls if isinstance(call, Mapping)) if isinstance(calls, list) else (),
        finish=REFUSAL if refusal else _string(choice.get("finish_reason")),
        usage=usage,
    )


def _call(call: Mapping[str, Any]) -> CallPart:
    function, index = mapping_of(call.get("function")), call.get("index")
    args = function.get("arguments")
    return CallPart(
        index=index if isinstance(index, int) else None,
        id=_string(call.get("id")),
        name=_string(function.get("name")),
        args=args if isinstance(args, str) else "" if args is None else json.dumps(args),
    )


def _first(choices: Any) -> Mapping[str, Any]:
    return mapping_of(choices[0]) if isinstance(choices, list) and choices else {}


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _text(content: Any) -> str:
    """Return the text of content that is a string or a list of text blocks."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text(block.get("text")) for block in content if isinstance(block, dict))
    return ""


def _cost(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < MAX_DOLLARS else None


def visible(text: str) -> str:
    """Return a fragment of text without lone surrogates, ready to be shown."""
    return clean_text(text)
