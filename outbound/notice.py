"""What a notification says: the event in a few lines of plain text, secrets replaced, nothing hidden in it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graph.events import Event
from safety.redaction import admit
from safety.visible import visible

MOST_CHARACTERS = 3_000
_MOST_ARGUMENTS = 600
_MOST_REASON = 300
_MOST_REQUESTS = 5


def notice_of(event: Event, folder: str) -> str:
    """The text about an event; "" when it is not worth a message. `folder` is where the thread works."""
    said = _WORDS[event.type](event.data, event.thread_id) if event.type in _WORDS else ""
    return clean(f"ml-intern, thread {event.thread_id[:8]} in {folder}\n{said}") if said else ""


def clean(text: str) -> str:
    """A text as it may leave: secrets replaced, control characters visible, not too long."""
    shown = visible(admit(text))
    return shown if len(shown) <= MOST_CHARACTERS else f"{shown[:MOST_CHARACTERS]}\n[...]"


def _approval(data: Mapping[str, Any], thread_id: str) -> str:
    requests: Sequence[Mapping[str, Any]] = data["requests"]
    lines = [line for request in requests[:_MOST_REQUESTS] for line in _request(request)]
    more = [f"and {len(requests) - _MOST_REQUESTS} more"] if len(requests) > _MOST_REQUESTS else []
    answer = [
        f"yes: ml-intern approve {thread_id} --all",
        f'no: ml-intern approve {thread_id} --reject {requests[0]["id"]} "REASON"',
        f"see it first: ml-intern approve {thread_id}",
    ]
    return "\n".join(["It waits for your answer:", *lines, *more, *answer])


def _request(request: Mapping[str, Any]) -> list[str]:
    args = request["args"]
    command = args.get("command")
    shown = command if isinstance(command, str) else json.dumps(args, ensure_ascii=False)
    what = "" if request["name"] == "question" else f"{request['name']}: {_cut(shown, _MOST_ARGUMENTS)}"
    return [line for line in (what, f"  why it asks: {_cut(str(request['description']), _MOST_REASON)}") if line]


def _fault(data: Mapping[str, Any], _: str) -> str:
    """Faults that are waited out, and remarks, are no news."""
    if data["retry_in_s"] is not None or data["exit_code"] is None:
        return ""
    return f"It failed: {_cut(str(data['message']), 1_000)}\n{data['remedy']}".rstrip()


def _ended(data: Mapping[str, Any], thread_id: str) -> str:
    """A turn that failed was told as an error."""
    if data["status"] in ("failed", "interrupted"):
        return ""
    how = "It is done" if data["status"] == "done" else f"It ended ({data['status']})"
    return f"{how} after {data['iterations']} model calls:\n{data['text']}\ngo on: ml-intern -r {thread_id[:8]}"


_WORDS = {"approval_required": _approval, "error": _fault, "turn_complete": _ended}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} [...]"
