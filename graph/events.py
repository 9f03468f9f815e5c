"""The events of a session: everything that an interface receives. A test freezes their names and fields."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

OWN_CALL = "note_"
"""The ids of commands that the user ran begin so. Their output is shown whole."""


@dataclass(frozen=True)
class EventSpec:
    """The meaning of an event and the keys of its data. Every key is always present."""

    meaning: str
    fields: tuple[str, ...]


EVENTS: dict[str, EventSpec] = {
    "ready": EventSpec(
        "the session is open; the first event",
        (
            "model",
            "tools",
            "version",
            "cwd",
            "approval_mode",
            "sandbox",
            "max_iterations",
            "max_budget_usd",
            "unpriced_models",
            "notes",
        ),
    ),
    "resumed": EventSpec(
        "an existing thread was opened; ended: the status of its last turn if that ended early",
        ("title", "turns", "moved_from", "pending", "interrupted", "ended"),
    ),
    "processing": EventSpec("a turn began; its input is on disk", ("turn", "text", "id")),
    "steered": EventSpec("a message was added to the running turn", ("turn", "text", "id")),
    "queue": EventSpec(
        "the queued messages changed; paused: none starts until the user submits or steers one",
        ("messages", "paused"),
    ),
    "assistant_chunk": EventSpec("a chunk of a reply, as it streams", ("message_id", "kind", "text")),
    "assistant_stream_end": EventSpec("the stream of a reply ended", ("message_id", "partial")),
    "assistant_message": EventSpec("a complete reply", ("message_id", "text", "reasoning", "tool_calls")),
    "tool_call": EventSpec("a call is about to run", ("id", "name", "args", "message_id")),
    "tool_request": EventSpec(
        "a tool that a client offered is called; the client answers with `tool_result` and this id",
        ("id", "call_id", "name", "args"),
    ),
    "tool_log": EventSpec("output of a call while it runs", ("id", "name", "text")),
    "tool_output": EventSpec(
        "the result of a call; images: the paths of the images that it wrote",
        ("id", "name", "text", "ok", "status", "seconds", "artifact", "images"),
    ),
    "tool_state_change": EventSpec("a call changed its state", ("id", "name", "state")),
    "hook": EventSpec(
        "a hook of the user ended; status: ok, refused (it refused the call) or failed",
        ("hook", "command", "tool", "seconds", "status", "text"),
    ),
    "approval_required": EventSpec("calls or a question need an answer", ("requests", "configs", "since")),
    "approval_answered": EventSpec("a client answered an approval; answers by call id", ("by", "device", "answers")),
    "plan_update": EventSpec("the plan changed", ("steps",)),
    "usage": EventSpec(
        "usage and cost of one model call",
        (
            "model",
            "source",
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "cache_write_tokens",
            "reasoning_tokens",
            "cost_usd",
            "total_cost_usd",
        ),
    ),
    "budget": EventSpec("50 %, then 80 % of the budget is used", ("spent_usd", "cap_usd", "unpriced_requests")),
    "job_update": EventSpec("a run or a job changed its state", ("id", "state", "text")),
    "compacted": EventSpec("the conversation was shortened", ("before_tokens", "after_tokens", "removed", "artifact")),
    "interrupted": EventSpec("the turn was stopped by the user", ("reason",)),
    "undo_complete": EventSpec("turns were undone or restored", ("direction", "turns", "text", "notes")),
    "error": EventSpec(
        "an error; retry_in_s is the delay until the next attempt", ("message", "remedy", "exit_code", "retry_in_s")
    ),
    "evidence": EventSpec(
        "the verdict on the answer: its claims with their states, and the facts that were found",
        ("status", "level", "claims", "findings", "locks", "incomplete", "statements", "goal", "holdout", "evaluation"),
    ),
    "turn_complete": EventSpec("a turn ended", ("turn", "status", "text", "iterations")),
    "shutdown": EventSpec("the session is closed", ("reason",)),
    "result": EventSpec(
        "the last event of a headless run",
        ("status", "exit_code", "text", "usage", "cost_usd", "iterations", "thread_id", "unverified", "evidence"),
    ),
}


@dataclass(frozen=True)
class Event:
    """One event of a thread. `seq` grows with each event, with gaps; `time` is in seconds since the epoch."""

    type: str
    thread_id: str
    seq: int
    time: float
    data: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the object that stream-json writes as one line."""
        return asdict(self)


class Emit(Protocol):
    """Send one event; the data must hold exactly the fields of its EventSpec."""

    def __call__(self, type: str, /, **data: Any) -> None:
        """Send an event of this type."""


Publish = Callable[[Mapping[str, Any]], None]
"""Takes an event as {type, data}."""


class Listeners:
    """The receivers of the events of the threads that run in this process."""

    def __init__(self) -> None:
        self._publish: dict[str, Publish] = {}

    @contextmanager
    def added(self, thread_id: str, publish: Publish) -> Iterator[None]:
        """Pass the events of a thread to `publish` during the block, until the current task is cancelled.

        They may come from any thread; `publish` is called in that of the event loop.
        """
        loop, task, own = asyncio.get_running_loop(), asyncio.current_task(), threading.get_ident()

        def take(event: Mapping[str, Any]) -> None:
            if threading.get_ident() != own:
                loop.call_soon_threadsafe(take, event)
            elif task is None or not task.cancelling():
                publish(event)

        self._publish[thread_id] = take
        try:
            yield
        finally:
            del self._publish[thread_id]

    def get(self, thread_id: str) -> Publish | None:
        """Return what takes the events of a thread; None where LangGraph streams them."""
        return self._publish.get(thread_id)


def emitter(write: Callable[[dict[str, Any]], None]) -> Emit:
    """Return an Emit that checks the fields against EVENTS and passes {type, data} to `write`."""

    def emit(type: str, /, **data: Any) -> None:
        if set(data) != set(EVENTS[type].fields):
            raise ValueError(f"event {type} takes {EVENTS[type].fields}, got {tuple(data)}")
        write({"type": type, "data": data})

    return emit
