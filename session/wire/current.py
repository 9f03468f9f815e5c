"""The events that describe the current state of a session, for a client that connects later."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ml_intern.graph.events import OWN_CALL, Event

ENDINGS = ("turn_complete", "interrupted", "approval_required", "undo_complete")
"""Events after which the session has another `end`."""
REPLACED: Mapping[str, Sequence[str]] = {
    "ready": (),
    "queue": (),
    "plan_update": (),
    "undo_complete": ("approval_required", "plan_update"),
    "processing": ("approval_required",),
    "approval_required": (),
    "approval_answered": ("approval_required",),
    "turn_complete": ("processing", "approval_required"),
    "interrupted": ("processing", "approval_required"),
}
"""Events that change the state, and the earlier ones that do not hold any more."""
KEPT = ("ready", "processing", "plan_update", "queue", "approval_required")
AT_WORK = ("assistant_chunk", "assistant_stream_end", "assistant_message", "tool_call", "tool_log", "tool_output")
"""Events of a reply that streams and of calls that run."""
MAX_TEXT = 200_000
"""Characters of a reply or of an output, from its end."""


@dataclass
class _Growing:
    """An event whose text grows. Its beginning is left out when it is long."""

    first: Event
    _texts: deque[str] = field(default_factory=deque[str])
    _characters: int = 0

    def add(self, text: str) -> None:
        self._texts.append(text)
        self._characters += len(text)
        while self._characters > MAX_TEXT and len(self._texts) > 1:
            self._characters -= len(self._texts.popleft())

    def event(self) -> Event:
        return replace(self.first, data={**self.first.data, "text": "".join(self._texts)})


class _Work:
    """The reply that streams, and the latest calls: those that run with their output, and the results of the others.

    The conversation has the results only when all calls of a reply have ended.
    """

    def __init__(self) -> None:
        self._reply: dict[str, _Growing] = {}
        """Its reasoning and its text."""
        self._calls: dict[str, Event] = {}
        self._outputs: dict[str, _Growing] = {}
        self._results: dict[str, Event] = {}

    def take(self, event: Event) -> None:
        data = event.data
        match event.type:
            case "assistant_chunk":
                self._reply.setdefault(data["kind"], _Growing(event)).add(data["text"])
            case "assistant_stream_end":
                self._reply.clear()
            case "assistant_message":
                self._clear()
            case "tool_call":
                self._calls[data["id"]] = event
            case "tool_log" if data["id"] in self._calls:
                self._outputs.setdefault(data["id"], _Growing(event)).add(data["text"])
            case "tool_output":
                self._outputs.pop(data["id"], None)
                self._note_result(event)

    def _note_result(self, event: Event) -> None:
        id = event.data["id"]
        if str(id).startswith(OWN_CALL):
            self._calls.pop(id, None)
        elif id in self._calls:
            self._results[id] = event

    def _clear(self) -> None:
        for part in (self._reply, self._calls, self._outputs, self._results):
            part.clear()

    def events(self) -> Iterator[Event]:
        for part in self._reply.values():
            yield part.event()
        for id, call in self._calls.items():
            yield call
            if id in self._outputs:
                yield self._outputs[id].event()
            elif id in self._results:
                yield self._results[id]


class CurrentState:
    """Keeps the latest event of each kind that still holds, and what streams and runs."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}
        self._work = _Work()

    def take(self, event: Event) -> None:
        """Note an event."""
        if event.type in AT_WORK:
            self._work.take(event)
        if event.type not in REPLACED:
            return
        if event.type == "ready" and event.thread_id != getattr(self._events.get("ready"), "thread_id", None):
            self._events.clear()
        if event.type in ("processing", *ENDINGS):
            self._work = _Work()
        for type in REPLACED[event.type]:
            self._events.pop(type, None)
        if event.type == "queue" and not (event.data["messages"] or event.data["paused"]):
            self._events.pop("queue", None)
        elif event.type in KEPT:
            self._events[event.type] = event

    def events(self) -> list[Event]:
        """Return the events in the order of KEPT, then the reply that streams and the calls that run."""
        return [*(self._events[type] for type in KEPT if type in self._events), *self._work.events()]
