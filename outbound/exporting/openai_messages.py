"""Export as OpenAI messages in one JSON object with the keys of a session file of Hugging Face's ml-intern."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ml_intern.outbound.conversation import Conversation, Message


def to_openai(conversation: Conversation) -> str:
    """Return one JSON object. Its `messages` can be sent unchanged; `ml_intern` holds what they cannot express."""
    messages = conversation.messages
    extras = {
        "notes": [place for place, message in enumerate(messages) if message.role == "note"],
        "failed": [place for place, message in enumerate(messages) if message.role == "tool" and not message.ok],
        "folder": conversation.folder,
        "file_reads": dict(conversation.file_reads),
    }
    whole = {
        "session_id": conversation.thread_id,
        "session_title": conversation.title,
        "session_start_time": iso_time(conversation.created),
        "session_end_time": iso_time(conversation.updated),
        "model_name": conversation.model,
        "total_cost_usd": conversation.cost_usd,
        "messages": list(openai_messages(messages)),
        "ml_intern": extras,
    }
    return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"


def openai_messages(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """Yield each message in OpenAI's chat completions format; reasoning uses litellm's key."""
    for message in messages:
        if message.role == "tool":
            yield {"role": "tool", "tool_call_id": message.call_id, "name": message.name, "content": message.text}
        elif message.role == "assistant":
            yield _reply(message)
        else:
            yield {"role": "user", "content": _content(message)}


def _reply(message: Message) -> dict[str, Any]:
    reply: dict[str, Any] = {"role": "assistant", "content": message.text}
    if message.reasoning:
        reply["reasoning_content"] = message.reasoning
    if message.calls:
        reply["tool_calls"] = [_call(call.id, call.name, call.args) for call in message.calls]
    return reply


def _call(id: str, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(dict(args), ensure_ascii=False)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.text
    images = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
    return [{"type": "text", "text": message.text}, *images]


def iso_time(epoch: float | None) -> str | None:
    """Format seconds since the epoch as ISO 8601 in UTC."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).isoformat()
