"""What the model writes, with secrets replaced before it becomes a message or an event."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage

from graph.events import Emit
from safety.admit_stream import AdmitStream
from safety.redaction import admit


def admitted(value: Any) -> Any:
    """Strings in a JSON value, redacted."""
    if isinstance(value, str):
        return admit(value)
    if isinstance(value, Mapping):
        return {key: admitted(item) for key, item in value.items()}
    return [admitted(item) for item in value] if isinstance(value, list | tuple) else value


def admitted_message(message: AIMessage) -> AIMessage:
    """The reply with its text and its calls' arguments redacted; the same object when nothing had to be.

    Signed thinking blocks stay as they are: their provider refuses them changed, and they are never shown.
    """
    content = message.content if not isinstance(message.content, str) else admit(message.content)
    calls = [{**call, "args": admitted(call["args"])} for call in message.tool_calls]
    if content == message.content and calls == message.tool_calls:
        return message
    return message.model_copy(update={"content": content, "tool_calls": calls})


class AdmittedEmit:
    """An Emit that redacts the pieces of a streamed reply, also where a secret spans two of them."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._streams: dict[str, AdmitStream] = {}
        self._message_id = ""

    def __call__(self, type: str, /, **data: Any) -> None:
        """Send an event; what may be the beginning of a secret is held back until the next piece or the end."""
        if type == "assistant_chunk":
            self._message_id = data["message_id"]
            stream = self._streams.setdefault(data["kind"], AdmitStream())
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
