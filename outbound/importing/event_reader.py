"""Reading event lines: those that an export wrote, and those that a run wrote with --output-format stream-json."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ml_intern.graph.events import EVENTS
from ml_intern.outbound.conversation import Call, Message
from ml_intern.outbound.importing.openai_reader import plain, read_args

UNKNOWN = "events of an unknown kind"
JOINS = "joins"
"""Marks a reply that is one more call of the reply before it."""
LATEST = 1e11


def epoch(value: Any) -> float | None:
    """Seconds since the epoch as a file gives them; None for what is no time."""
    return float(value) if isinstance(value, int | float) and 0 < value < LATEST else None


@dataclass
class EventReader:
    """Builds the conversation while it takes events; `messages` holds it, notes of the loop are in no event."""

    left_out: Counter[str]
    messages: list[Message] = field(default_factory=list[Message])
    about: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the events say of the thread: thread_id, model, folder, title, created, updated, as far as they do."""
    _undone: list[list[Message]] = field(default_factory=list[list[Message]])

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event as it stands in its line."""
        handlers: dict[str, Callable[[Mapping[str, Any], float | None], None]] = {
            "ready": self._ready,
            "resumed": lambda data, _: self.about.update(title=str(data.get("title") or "")),
            "processing": self._processing,
            "assistant_message": self._reply,
            "tool_output": self._result,
            "undo_complete": self._moved,
        }
        type, data = str(event.get("type")), event.get("data")
        at = epoch(event.get("time"))
        if not isinstance(data, Mapping) or type not in EVENTS:
            self.left_out[UNKNOWN] += 1
            return
        self.about.setdefault("created", at)
        self.about["updated"] = at
        self.about.setdefault("thread_id", str(event.get("thread_id") or ""))
        if handler := handlers.get(type):
            handler(data, at)

    def take_all(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take events in their order."""
        for event in events:
            self.take(event)

    def _ready(self, data: Mapping[str, Any], _: float | None) -> None:
        self.about.update(model=str(data.get("model") or ""), folder=str(data.get("cwd") or ""))

    def _processing(self, data: Mapping[str, Any], at: float | None) -> None:
        self._undone.clear()
        self.messages.append(Message("user", plain(str(data.get("text") or "")), time=at))

    def _reply(self, data: Mapping[str, Any], at: float | None) -> None:
        calls = data.get("tool_calls")
        found = [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
        text, reasoning = plain(str(data.get("text") or "")), plain(str(data.get("reasoning") or ""))
        reply = Message("assistant", text, calls=tuple(map(self._call, found)), reasoning=reasoning, time=at)
        if data.get(JOINS) and self.messages and self.messages[-1].role == "assistant":
            before = self.messages.pop()
            reply = replace(before, calls=(*before.calls, *reply.calls))
        self.messages.append(reply)

    def _call(self, call: Mapping[str, Any]) -> Call:
        args = read_args(call.get("args"), self.left_out)
        return Call(str(call.get("id") or ""), plain(str(call.get("name") or "unnamed")), args)

    def _result(self, data: Mapping[str, Any], at: float | None) -> None:
        text, id = plain(str(data.get("text") or "")), str(data.get("id") or "")
        ok = data.get("ok") is not False
        self.messages.append(Message("tool", text, call_id=id, name=str(data.get("name") or ""), ok=ok, time=at))

    def _moved(self, data: Mapping[str, Any], _: float | None) -> None:
        """Turns that were taken back are not part of the conversation any more; a redo brings them again."""
        turns = data.get("turns")
        for _turn in range(min(turns, len(self.messages)) if isinstance(turns, int) else 0):
            if data.get("direction") == "redo" and self._undone:
                self.messages += self._undone.pop()
            elif data.get("direction") == "undo":
                begins = [place for place, message in enumerate(self.messages) if message.role == "user"]
                self._undone.append(self.messages[begins[-1] :] if begins else [])
                del self.messages[begins[-1] if begins else 0 :]
