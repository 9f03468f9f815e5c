"""Export in STS format for the Hub's trace viewer: one line for the session, then one line per message."""

import json
from collections.abc import Iterator
from typing import Any

from ml_intern.outbound.conversation import Conversation, Message, default_title, json_lines

_ROLES = {"user": "user", "assistant": "assistant", "tool": "tool", "note": "system"}


def to_sts(conversation: Conversation) -> str:
    """Return the thread as ASCII JSON lines."""
    return json_lines(_lines(conversation))


def _lines(conversation: Conversation) -> Iterator[dict[str, Any]]:
    name = conversation.title or default_title(conversation.messages)
    yield {"type": "session", "harness": "ml-intern", "id": conversation.thread_id, "name": name}
    time = conversation.created or 0.0
    for message in conversation.messages:
        time = max(time, message.time or time)
        yield {"type": "message", "message": _message(message, conversation.model, time)}


def _message(message: Message, model: str, time: float) -> dict[str, Any]:
    line: dict[str, Any] = {"role": _ROLES[message.role], "content": message.text, "timestamp": int(time * 1000)}
    if message.reasoning:
        line["reasoningContent"] = message.reasoning
    if message.calls:
        line["toolCalls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": json.dumps(dict(call.args))}}
            for call in message.calls
        ]
    if message.role == "tool":
        line["toolCallId"] = message.call_id
    if message.role == "assistant":
        line["model"] = model
    return line
