"""Read messages in OpenAI's format, as written by litellm, LangChain and Hugging Face's ml-intern."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from ml_intern.outbound.conversation import Call, Message, Role

ROLES: dict[str, Role] = {
    "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "tool": "tool", "function": "tool",
}  # fmt: skip
INSTRUCTIONS = frozenset({"system", "developer"})
SYSTEM = "system prompts (ml-intern uses its own)"
SIGNED = "signed thinking blocks (only the original provider accepts them)"
BLOCKS = "message parts that are neither text nor images"
UNREADABLE = "messages that could not be read"
ARGUMENTS = "call arguments that are not a JSON object (imported as text)"
INT64_LIMIT = 2**63
RAW = "raw"


def read_messages(found: Sequence[Any], left_out: Counter[str]) -> list[Message]:
    """Return the messages; count what is skipped by kind in `left_out`."""
    return [message for each in found if (message := _message(each, left_out)) is not None]


def read_args(arguments: Any, left_out: Counter[str]) -> dict[str, Any]:
    """Return the arguments of a call, given as a JSON object or its text. Integers over 64 bits become text."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}", parse_constant=str)
        except (ValueError, RecursionError):
            left_out[ARGUMENTS] += 1
            return {RAW: arguments}
    if not isinstance(arguments, Mapping):
        left_out[ARGUMENTS] += arguments is not None
        return {} if arguments is None else {RAW: json.dumps(arguments)}
    return {str(name): plain(value) for name, value in arguments.items()}


def plain(value: Any) -> Any:
    """Return a JSON value that a checkpoint can store: 64-bit integers, text without lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {plain(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, int) and not -INT64_LIMIT <= value < INT64_LIMIT else value


def _message(found: Any, left_out: Counter[str]) -> Message | None:
    written = str(found.get("role") or found.get("type")) if isinstance(found, Mapping) else ""
    if written in INSTRUCTIONS:
        left_out[SYSTEM] += 1
        return None
    if written not in ROLES:
        left_out[UNREADABLE] += 1
        return None
    role = ROLES[written]
    text, images = _content(found.get("content", found.get("text")), left_out)
    left_out[SIGNED] += bool(found.get("thinking_blocks"))
    return Message(
        role,
        text,
        calls=tuple(_calls(found, left_out)) if role == "assistant" else (),
        reasoning=plain(str(found.get("reasoning_content") or "")) if role == "assistant" else "",
        images=images if role == "user" else (),
        call_id=str(found.get("tool_call_id") or "") if role == "tool" else "",
        name=str(found.get("name") or "") if role == "tool" else "",
        ok=found.get("ok") is not False and found.get("status") != "error",
    )


def _content(content: Any, left_out: Counter[str]) -> tuple[str, tuple[str, ...]]:
    """Return the text and the images given as data URLs. Image addresses become text: an import loads nothing."""
    if not isinstance(content, list):
        return plain(str(content if content is not None else "")), ()
    texts, images = list[str](), list[str]()
    for block in content:
        kind, value = _block(block)
        if kind == "text":
            texts.append(plain(value))
        elif kind == "image" and value.startswith("data:image/"):
            images.append(value)
        elif kind == "image":
            texts.append(f"[image: {plain(value)}]")
        else:
            left_out[SIGNED if kind == "thinking" else BLOCKS] += 1
    return "\n".join(texts), tuple(images)


def _block(block: Any) -> tuple[Literal["text", "image", "thinking", ""], str]:
    if isinstance(block, str):
        return "text", block
    if not isinstance(block, Mapping):
        return "", ""
    kind = str(block.get("type", "text"))
    if kind in ("thinking", "redacted_thinking", "reasoning"):
        return "thinking", ""
    if isinstance(image := block.get("image_url"), Mapping | str):
        return "image", str(image.get("url", "") if isinstance(image, Mapping) else image)
    text = block.get("text", block.get("content"))
    return ("text", text) if isinstance(text, str) else ("", "")


def _calls(found: Mapping[str, Any], left_out: Counter[str]) -> Iterator[Call]:
    listed = found.get("tool_calls") or []
    if isinstance(old := found.get("function_call"), Mapping):
        listed = [*listed, {"function": old}] if isinstance(listed, list) else [{"function": old}]
    for call in listed if isinstance(listed, list) else []:
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not function.get("name"):
            left_out[UNREADABLE] += 1
            continue
        arguments = function.get("arguments", function.get("args"))
        yield Call(str(call.get("id") or ""), plain(str(function["name"])), read_args(arguments, left_out))
