"""Reading OpenAI's chat completion objects, as the many servers that speak it really write them."""

import json
from collections.abc import Mapping
from typing import Any

from models.parsing import clean_text
from models.request import CallPart, Part, Usage

SERVED_BY = "x-inference-provider"


def part_of_chunk(chunk: Mapping[str, Any], headers: Mapping[str, str]) -> Part:
    """The fragment in one chunk of a stream."""
    choices = chunk.get("choices") or [{}]
    return _part(choices[0].get("delta") or {}, choices[0], usage_of(chunk.get("usage"), headers))


def part_of_reply(reply: Mapping[str, Any], headers: Mapping[str, str]) -> Part:
    """A whole reply that was not streamed, as one fragment."""
    choice = reply["choices"][0]
    return _part(choice.get("message") or {}, choice, usage_of(reply.get("usage"), headers))


def usage_of(usage: Any, headers: Mapping[str, str] | None = None) -> Usage | None:
    """Usage as providers report it; None when they do not."""
    if not isinstance(usage, Mapping) or not (usage.get("prompt_tokens") or usage.get("completion_tokens")):
        return None
    prompt = usage.get("prompt_tokens_details") or {}
    written = usage.get("completion_tokens_details") or {}
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")),
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        reasoning_tokens=_count(written.get("reasoning_tokens")),
        cost_usd=_cost(usage.get("cost")),
        served_by=(headers or {}).get(SERVED_BY),
    )


def _part(message: Mapping[str, Any], choice: Mapping[str, Any], usage: Usage | None) -> Part:
    refusal = _text(message.get("refusal"))
    calls = message.get("tool_calls") or ()
    return Part(
        text=_text(message.get("content")) + refusal,
        reasoning=_text(message.get("reasoning_content") or message.get("reasoning")),
        calls=tuple(_call(call) for call in calls),
        finish="refusal" if refusal else choice.get("finish_reason"),
        usage=usage,
    )


def _call(call: Mapping[str, Any]) -> CallPart:
    function = call.get("function") or {}
    args = function.get("arguments")
    return CallPart(
        index=call.get("index"),
        id=call.get("id"),
        name=function.get("name"),
        args=args if isinstance(args, str) else "" if args is None else json.dumps(args),
    )


def _text(content: Any) -> str:
    """Content is text, or a list of blocks with text in them."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(block.get("text", "") for block in content if isinstance(block, dict))
    return ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _cost(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def visible(text: str) -> str:
    """A fragment of text as it may be shown at once: surrogate halves do not leave the process."""
    return clean_text(text)
