"""Read event lines, written by an export or by a run with --output-format stream-json."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ml_intern.graph.events import EVENTS
from ml_intern.outbound.conversation import Call, Message
from ml_intern.outbound.importing.openai_reader import plain, read_args

UNKNOWN = "events of unknown types"
CONTINUES_REPLY = "joins"
"""Key that marks an event as a further call of the previous reply."""
MAX_EPOCH = 1e11


def epoch(value: Any) -> float | None:
    """Return a time in seconds since the epoch, or None if the value is not a plausible time."""
    return float(value) if isinstance(value, int | float) and 0 < value < MAX_EPOCH else None


@dataclass
class EventReader:
    """Builds `messages` from events. Notes of the agent loop are not in any event, so they are lost."""

    left_out: Counter[str]
    messages: list[Message] = field(default_factory=list[Message])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    """Thread metadata found so far: thread_id, model, folder, title, created, updated."""
    _undone: list[list[Message]] = field(default_factory=list[list[Message]])

    def add(self, event: Mapping[str, Any]) -> None:
        """Add one event, the JSON object of one line."""
        handlers: dict[str, Callable[[Mapping[str, Any], float | None], None]] = {
            "ready": self._ready,
            "resumed": lambda data, _: self.metadata.update(title=str(data.get("title") or "")),
            "processing": self._processing,
            "steered": self._steered,
            "assistant_message": self._reply,
            "tool_output": self._result,
            "undo_complete": self._rewind,
        }
        type, data = str(event.get("type")), event.get("data")
        at = epoch(event.get("time"))
        if not isinstance(data, Mapping) or type not in EVENTS:
            self.left_out[UNKNOWN] += 1
            return
        self.metadata.setdefault("created", at)
        self.metadata["updated"] = at
        self.metadata.setdefault("thread_id", str(event.get("thread_id") or ""))
        if handler := handlers.get(type):
            handler(data, at)

    def add_all(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Add events in order."""
        for event in events:
            self.add(event)

    def _ready(self, data: Mapping[str, Any], _: float | None) -> None:
        self.metadata.update(model=str(data.get("model") or ""), folder=str(data.get("cwd") or ""))

    def _processing(self, data: Mapping[str, Any], at: float | None) -> None:
        self._undone.clear()
        self.messages.append(Message("user", plain(str(data.get("text") or "")), time=at))

    def _steered(self, data: Mapping[str, Any], at: float | None) -> None:
        self.messages.append(Message("user", plain(str(data.get("text") or "")), steered=True, time=at))

    def _reply(self, data: Mapping[str, Any], at: float | None) -> None:
        calls = data.get("tool_calls")
        found = [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
        text, reasoning = plain(str(data.get("text") or "")), plain(str(data.get("reasoning") or ""))
        reply = Message("assistant", text, calls=tuple(map(self._call, found)), reasoning=reasoning, time=at)
        if data.get(CONTINUES_REPLY) and self.messages and self.messages[-1].role == "assistant":
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

    def _rewind(self, data: Mapping[str, Any], _: float | None) -> None:
        """Remove undone turns; restore them on redo."""
        turns = data.get("turns")
        for _turn in range(min(turns, len(self.messages)) if isinstance(turns, int) else 0):
            if data.get("direction") == "redo" and self._undone:
                self.messages += self._undone.pop()
            elif data.get("direction") == "undo":
                starts = [index for index, message in enumerate(self.messages) if _starts_turn(message)]
                self._undone.append(self.messages[starts[-1] :] if starts else [])
                del self.messages[starts[-1] if starts else 0 :]


def _starts_turn(message: Message) -> bool:
    return message.role == "user" and not message.steered
