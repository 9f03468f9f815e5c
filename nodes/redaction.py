"""Redact the secrets in a reply of the model before it becomes a message or an event."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage

from ml_intern.graph.events import Emit
from ml_intern.models.messages import SIGNED
from ml_intern.safety.secrets.redaction import redact, redact_value
from ml_intern.safety.secrets.stream import RedactingStream

_OPAQUE = ("signature", "data", "encrypted_content", "id")
"""The fields of signed reasoning that only its provider can read."""


def redacted_message(message: AIMessage) -> AIMessage:
    """Return the reply with its secrets redacted; the same object if there are none.

    Providers refuse signed reasoning that was changed. Signed reasoning with a secret in it is removed.
    """
    content = message.content if not isinstance(message.content, str) else redact(message.content)
    calls = [{**call, "name": redact(call["name"]), "args": redact_value(call["args"])} for call in message.tool_calls]
    more = {
        key: value if key in SIGNED else redact_value(value)
        for key, value in message.additional_kwargs.items()
        if key not in SIGNED or not _contains_secret(value)
    }
    if (content, calls, more) == (message.content, message.tool_calls, message.additional_kwargs):
        return message
    return message.model_copy(update={"content": content, "tool_calls": calls, "additional_kwargs": more})


def _contains_secret(value: Any) -> bool:
    if isinstance(value, str):
        return redact(value) != value
    if isinstance(value, Mapping):
        return any(_contains_secret(item) for key, item in value.items() if key not in _OPAQUE)
    return isinstance(value, list | tuple) and any(map(_contains_secret, value))


class RedactingEmit:
    """An Emit that redacts a streamed reply, including a secret that spans two chunks."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._streams: dict[str, RedactingStream] = {}
        self._message_id = ""

    def __call__(self, type: str, /, **data: Any) -> None:
        """Send an event. Text that may begin a secret is buffered until the next chunk or the end of the stream."""
        if type == "assistant_chunk":
            self._message_id = data["message_id"]
            stream = self._streams.setdefault(data["kind"], RedactingStream())
            self._chunk(data["kind"], stream.feed(data["text"]))
            return
        if type == "assistant_stream_end":
            for kind, stream in self._streams.items():
                self._chunk(kind, stream.close())
            self._streams = {}
        self._emit(type, **data)

    def _chunk(self, kind: str, text: str) -> None:
        if text:
            self._emit("assistant_chunk", message_id=self._message_id, kind=kind, text=text)
