"""Notifications: events go into a short queue a destination, which a task of its own empties. The run never waits."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_intern.configs.settings import Destination, Messaging
from ml_intern.graph.events import Event
from ml_intern.outbound.notifications.deliver import NotDelivered, deliver
from ml_intern.safety.secrets.redaction import redact
from ml_intern.text.visible import visible

MAX_WAITING = 50
"""Texts to one destination; the oldest goes first."""
ATTEMPTS = 3
RETRY_SECONDS = 2.0
MAX_RETRY_AFTER = 120.0
REST_SECONDS = 60.0
"""How long a destination that failed is left alone; what comes meanwhile is dropped."""
LAST_SECONDS = 3.0
"""At the end of a session, for what is still under way to a destination that works."""

Say = Callable[[str, str], Any]
"""Tell the user a problem and its remedy."""


class Outbox:
    """What waits for one destination."""

    def __init__(self, name: str, place: Destination, say: Say) -> None:
        self.name, self.place = name, place
        self._failed = asyncio.Event()
        """The last attempt failed."""
        self._say = say
        self._said = False
        self._waiting: deque[Callable[[], str]] = deque(maxlen=MAX_WAITING)
        self._rests_until = 0.0
        self._task: asyncio.Task[None] | None = None

    def put(self, write: Callable[[], str]) -> None:
        """Write the text and send it when its turn comes; dropped while the destination rests after a failure."""
        if asyncio.get_running_loop().time() < self._rests_until:
            return
        self._waiting.append(write)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._empty(), name=f"notify {self.name}")

    async def close(self) -> None:
        """Give what is under way a moment, unless the destination is dead."""
        if self._task is None:
            return
        failed = asyncio.create_task(self._failed.wait())
        await asyncio.wait({self._task, failed}, timeout=LAST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in (self._task, failed):
            task.cancel()
        await asyncio.gather(self._task, failed, return_exceptions=True)

    async def _empty(self) -> None:
        while self._waiting:
            text = self._waiting.popleft()()
            if text and (problem := await self.attempt(text)):
                self._waiting.clear()
                self._rests_until = asyncio.get_running_loop().time() + REST_SECONDS
                self._complain(problem)

    async def attempt(self, text: str) -> str:
        """Send it, a few times if need be; what went wrong at last, or ""."""
        problem = ""
        for attempt in range(ATTEMPTS):
            try:
                await deliver(self.place, text)
            except NotDelivered as fault:
                self._failed.set()
                problem = str(fault)
                if attempt == ATTEMPTS - 1 or (fault.retry_after or 0) > MAX_RETRY_AFTER or _is_final(problem):
                    break
                await asyncio.sleep(RETRY_SECONDS * 2**attempt if fault.retry_after is None else fault.retry_after)
            else:
                self._failed.clear()
                return ""
        return problem

    def _complain(self, problem: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"notifications to {self.name} do not arrive: {problem}", "see `messaging` in the settings")


def _is_final(problem: str) -> bool:
    """What another attempt would not change: Slack said why, or a package is missing."""
    refused = "refused it" in problem and "ratelimited" not in problem and "status 5" not in problem
    return refused or "not installed" in problem or "does not know" in problem


class Notifications:
    """Tells the destinations of the settings what happens in a session."""

    def __init__(self, messaging: Messaging, folder: str, say: Say) -> None:
        self._types = messaging.auto_event_types if messaging.enabled else ()
        self._folder = folder
        places = messaging.destinations if messaging.enabled else {}
        self._boxes = {name: Outbox(name, place, say) for name, place in places.items()}

    def take(self, event: Event) -> None:
        """Tell about an event, if the settings want that. It returns at once."""
        if event.type not in self._types:
            return
        for box in self._boxes.values():
            if box.place.allow_auto_events:
                box.put(lambda: notice_of(event, self._folder))

    def places(self) -> Sequence[str]:
        """The destinations that the agent may write to."""
        return [name for name, box in self._boxes.items() if box.place.allow_agent_tool]

    async def send(self, place: str, text: str) -> str:
        """Send the agent's own words to a place it may write to; what went wrong, or ""."""
        return await self._boxes[place].attempt(clean(text))

    async def close(self) -> None:
        """Let what is under way arrive."""
        await asyncio.gather(*(box.close() for box in self._boxes.values()))


MAX_CHARACTERS = 3_000
_MAX_ARGUMENTS = 600
_MAX_REASON = 300
_MAX_REQUESTS = 5


def notice_of(event: Event, folder: str) -> str:
    """The text about an event; "" when it is not worth a message. `folder` is where the thread works."""
    said = _WORDS[event.type](event.data, event.thread_id) if event.type in _WORDS else ""
    return clean(f"ml-intern, thread {event.thread_id[:8]} in {folder}\n{said}") if said else ""


def clean(text: str) -> str:
    """A text as it may leave: secrets replaced, control characters visible, not too long."""
    shown = visible(redact(text))
    return shown if len(shown) <= MAX_CHARACTERS else f"{shown[:MAX_CHARACTERS]}\n[...]"


def _approval(data: Mapping[str, Any], thread_id: str) -> str:
    requests: Sequence[Mapping[str, Any]] = data["requests"]
    lines = [line for request in requests[:_MAX_REQUESTS] for line in _request(request)]
    more = [f"and {len(requests) - _MAX_REQUESTS} more"] if len(requests) > _MAX_REQUESTS else []
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
    what = "" if request["name"] == "question" else f"{request['name']}: {_cut(shown, _MAX_ARGUMENTS)}"
    return [line for line in (what, f"  why it asks: {_cut(str(request['description']), _MAX_REASON)}") if line]


def _failed(data: Mapping[str, Any], _: str) -> str:
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


_WORDS = {"approval_required": _approval, "error": _failed, "turn_complete": _ended}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} [...]"
