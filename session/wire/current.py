"""The events that describe the current state of a session, for a client that connects later."""

from collections.abc import Mapping, Sequence

from ml_intern.graph.events import Event

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


class CurrentState:
    """Keeps the latest event of each kind that still holds."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}

    def take(self, event: Event) -> None:
        """Note an event."""
        if event.type not in REPLACED:
            return
        if event.type == "ready" and event.thread_id != getattr(self._events.get("ready"), "thread_id", None):
            self._events.clear()
        for type in REPLACED[event.type]:
            self._events.pop(type, None)
        if event.type == "queue" and not (event.data["messages"] or event.data["paused"]):
            self._events.pop("queue", None)
        elif event.type in KEPT:
            self._events[event.type] = event

    def events(self) -> list[Event]:
        """Return the events in the order of KEPT."""
        return [self._events[type] for type in KEPT if type in self._events]
