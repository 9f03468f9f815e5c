"""Export as a Claude Code session file, a format that third-party viewers and the Hub can show."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from ml_intern.configs.version import version
from ml_intern.outbound.conversation import Conversation, Message, default_title, json_lines


def to_claude_code(conversation: Conversation) -> str:
    """Return the thread as ASCII JSON lines. The ids are stable across exports."""
    return json_lines(_lines(conversation))


def _lines(conversation: Conversation) -> Iterator[dict[str, Any]]:
    parent: str | None = None
    time = conversation.created or 0.0
    for place, message in enumerate(conversation.messages):
        time = max(time, message.time or time)
        id = str(uuid5(NAMESPACE_URL, f"ml-intern:{conversation.thread_id}/{message.id or place}/{place}"))
        yield {
            "type": "assistant" if message.role == "assistant" else "user",
            "uuid": id,
            "parentUuid": parent,
            "sessionId": conversation.thread_id,
            "timestamp": datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "isSidechain": False,
            "isMeta": message.role == "note",
            "userType": "external",
            "cwd": conversation.folder,
            "version": version(),
            "message": _reply(message, conversation.model) if message.role == "assistant" else _user_message(message),
        }
        parent = id
    title = conversation.title or default_title(conversation.messages)
    yield {"type": "summary", "summary": title, "leafUuid": parent or conversation.thread_id}


def _user_message(message: Message) -> dict[str, Any]:
    if message.role != "tool":
        return {"role": "user", "content": [{"type": "text", "text": message.text}]}
    result = {
        "type": "tool_result",
        "tool_use_id": message.call_id,
        "content": message.text,
        "is_error": not message.ok,
    }
    return {"role": "user", "content": [result]}


def _reply(message: Message, model: str) -> dict[str, Any]:
    thinking = [{"type": "thinking", "thinking": message.reasoning, "signature": ""}] if message.reasoning else []
    text = [{"type": "text", "text": message.text}] if message.text else []
    calls = [{"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.args)} for call in message.calls]
    return {
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "model": model or "unknown",
        "content": [*thinking, *text, *calls],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
