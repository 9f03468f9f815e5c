"""Events made by hand, with all their fields."""

from typing import Any

from ml_intern.graph.events import EVENTS, Event

DEFAULTS: dict[str, Any] = {
    "model": "a/b",
    "version": "9",
    "cwd": "/w",
    "approval_mode": "ask",
    "notes": [],
    "tools": ["bash"],
    "message_id": "m1",
    "reasoning": "",
    "tool_calls": [],
    "kind": "text",
    "partial": False,
    "images": [],
    "seconds": 1.0,
    "ok": True,
    "status": "done",
    "remedy": "",
    "exit_code": None,
    "retry_in_s": None,
    "interrupted": [],
    "input_tokens": 1000,
    "output_tokens": 50,
    "cost_usd": 0.5,
    "total_cost_usd": 0.75,
}


def event(type: str, **data: Any) -> Event:
    """An event of this type; what is not given has a default."""
    return Event(type, "t1", 1, 0.0, {name: data.get(name, DEFAULTS.get(name)) for name in EVENTS[type].fields})


CALL = {"id": "c1", "name": "bash", "args": {"command": "python train.py"}}

TURN = (
    event("ready", notes=["odd key"]),
    event("resumed", title="t", turns=2, moved_from="/old", pending="", interrupted=["bash"], ended="interrupted"),
    event("processing", turn=1, text="go"),
    event("assistant_chunk", text="I will **train**"),
    event("assistant_chunk", text=" it.\n\nThen"),
    event("assistant_chunk", text=" look.\x1b[2J"),
    event("assistant_stream_end"),
    event("usage"),
    event("assistant_message", text="I will **train** it.\n\nThen look.\x1b[2J", reasoning="hm", tool_calls=[CALL]),
    event("tool_call", **CALL),
    event("tool_state_change", id="c1", name="bash", state="running"),
    event("tool_log", id="c1", name="bash", text="epoch 1\n"),
    event("tool_output", id="c1", name="bash", text="ValueError: bad\n[exit code 1]", ok=False, status="failed"),
    event("plan_update", steps=[{"text": "train", "status": "in_progress"}]),
    event("error", message="busy", retry_in_s=3.0),
    event("assistant_chunk", message_id="m2", text="cut o"),
    event("assistant_stream_end", message_id="m2", partial=True),
    event("budget", spent_usd=2.5, cap_usd=5.0, unpriced_requests=1),
    event("compacted", before_tokens=9, after_tokens=3, removed=1),
    event("assistant_message", message_id="m3", text="Done: [here](http://x)."),
    event("turn_complete", turn=1, text="Done: [here](http://x).", iterations=2),
)
