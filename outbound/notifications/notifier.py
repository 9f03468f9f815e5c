"""Notifications: each destination has a short queue of events and a task that sends them. A run never waits for it."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_intern.configs.settings import Destination, Messaging
from ml_intern.graph.events import Event
from ml_intern.outbound.notifications.deliver import NotDelivered, Send, deliver, load
from ml_intern.safety.secrets.redaction import redact
from ml_intern.text.formatting import and_more, plural
from ml_intern.text.visible import visible

MAX_QUEUED = 50
"""Texts per destination; the oldest are dropped first."""
ATTEMPTS = 3
RETRY_SECONDS = 2.0
MAX_RETRY_AFTER = 120.0
COOLDOWN_SECONDS = 60.0
"""A destination that failed is skipped for this time; its notifications are dropped."""
CLOSE_SECONDS = 10.0
"""At the end of a session, the limit for sending what is queued for a working destination."""

ReportProblem = Callable[[str, str], Any]
"""Shows the user a problem and its remedy."""


class Outbox:
    """The queue of texts for one destination."""

    def __init__(self, name: str, destination: Destination, report: ReportProblem) -> None:
        self.name, self.destination = name, destination
        self._failed = asyncio.Event()
        """Set while the last attempt failed."""
        self._report = report
        self._is_reported = False
        self._queue: deque[Callable[[], str]] = deque(maxlen=MAX_QUEUED)
        self._skipped_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[Send] | None = None

    def put(self, write: Callable[[], str]) -> None:
        """Queue a text, rendered when it is sent. Drops it during the cooldown after a failure."""
        if asyncio.get_running_loop().time() < self._skipped_until:
            return
        self._queue.append(write)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send_queued(), name=f"notify {self.name}")

    async def close(self) -> None:
        """Wait a moment for queued texts, unless the destination fails, then stop. Loading its package is extra."""
        if self._task is None:
            return
        await asyncio.wait([self._loaded()])
        failed = asyncio.create_task(self._failed.wait())
        await asyncio.wait({self._task, failed}, timeout=CLOSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in (self._task, failed):
            task.cancel()
        await asyncio.gather(self._task, failed, return_exceptions=True)

    async def _send_queued(self) -> None:
        while self._queue:
            text = self._queue.popleft()()
            if text and (problem := await self.attempt(text)):
                self._queue.clear()
                self._skipped_until = asyncio.get_running_loop().time() + COOLDOWN_SECONDS
                self._report_once(problem)

    async def attempt(self, text: str) -> str:
        """Send a text with retries. Return the last problem, or "" on success."""
        problem = ""
        for attempt in range(ATTEMPTS):
            try:
                await deliver(await asyncio.shield(self._loaded()), text)
            except NotDelivered as error:
                self._failed.set()
                problem = str(error)
                if attempt == ATTEMPTS - 1 or (error.retry_after or 0) > MAX_RETRY_AFTER or _is_final(problem):
                    break
                await asyncio.sleep(RETRY_SECONDS * 2**attempt if error.retry_after is None else error.retry_after)
            else:
                self._failed.clear()
                return ""
        return problem

    def _loaded(self) -> asyncio.Task[Send]:
        """Return the task that loads the destination's package. It is started once."""
        if self._loading is None:
            self._loading = asyncio.create_task(load(self.destination))
        return self._loading

    def _report_once(self, problem: str) -> None:
        if not self._is_reported:
            self._is_reported = True
            self._report(f"notifications to {self.name} fail: {problem}", "check `messaging` in the settings")


def _is_final(problem: str) -> bool:
    """Return whether a retry is pointless: Slack rejected the message, or a package is missing."""
    rejected = "rejected the message" in problem and "ratelimited" not in problem and "status 5" not in problem
    return rejected or "not installed" in problem or "does not support" in problem


class Notifications:
    """Sends the events of a session to the destinations in the settings."""

    def __init__(self, messaging: Messaging, folder: str, report: ReportProblem) -> None:
        self._types = messaging.auto_event_types if messaging.enabled else ()
        self._folder = folder
        destinations = messaging.destinations if messaging.enabled else {}
        self._outboxes = {name: Outbox(name, one, report) for name, one in destinations.items()}

    def take(self, event: Event) -> None:
        """Queue a notification about an event if the settings ask for it. Never blocks."""
        if event.type not in self._types:
            return
        for outbox in self._outboxes.values():
            if outbox.destination.allow_auto_events:
                outbox.put(lambda: notification_text(event, self._folder))

    def places(self) -> Sequence[str]:
        """Return the destinations that the agent may write to."""
        return [name for name, outbox in self._outboxes.items() if outbox.destination.allow_agent_tool]

    async def send(self, place: str, text: str) -> str:
        """Send the agent's text to a destination it may write to. Return the problem, or "" on success."""
        return await self._outboxes[place].attempt(clean(text))

    async def close(self) -> None:
        """Wait a moment for queued notifications, then stop."""
        await asyncio.gather(*(outbox.close() for outbox in self._outboxes.values()))


MAX_CHARACTERS = 3_000
_MAX_ARGUMENTS = 600
_MAX_REASON = 300
_MAX_REQUESTS = 5


def notification_text(event: Event, folder: str) -> str:
    """Return the text about an event, or "" if it needs no notification. `folder` is the thread's working folder."""
    text = _RENDERERS[event.type](event.data, event.thread_id) if event.type in _RENDERERS else ""
    return clean(f"ml-intern, thread {event.thread_id[:8]} in {folder}\n{text}") if text else ""


def clean(text: str) -> str:
    """Return a text that is safe to send: redacted, with visible control characters, shortened."""
    shown = visible(redact(text))
    return shown if len(shown) <= MAX_CHARACTERS else f"{shown[:MAX_CHARACTERS]}\n[...]"


def _approval(data: Mapping[str, Any], thread_id: str) -> str:
    requests: Sequence[Mapping[str, Any]] = data["requests"]
    lines = [line for request in requests[:_MAX_REQUESTS] for line in _request(request)]
    more = and_more(len(requests), _MAX_REQUESTS)
    answer = [
        f"approve: ml-intern approve {thread_id} --all",
        f'reject: ml-intern approve {thread_id} --reject {requests[0]["id"]} "REASON"',
        f"show: ml-intern approve {thread_id}",
    ]
    return "\n".join(["Waiting for your approval:", *lines, *([more] if more else []), *answer])


def _request(request: Mapping[str, Any]) -> list[str]:
    args = request["args"]
    command = args.get("command")
    shown = command if isinstance(command, str) else json.dumps(args, ensure_ascii=False)
    what = "" if request["name"] == "question" else f"{request['name']}:\n{_code(_cut(shown, _MAX_ARGUMENTS))}"
    return [line for line in (what, f"  reason: {_cut(str(request['description']), _MAX_REASON)}") if line]


def _failed(data: Mapping[str, Any], _: str) -> str:
    """Render a final error. Retries and warnings need no notification."""
    if data["retry_in_s"] is not None or data["exit_code"] is None:
        return ""
    return f"Failed: {_cut(str(data['message']), 1_000)}\n{data['remedy']}".rstrip()


def _ended(data: Mapping[str, Any], thread_id: str) -> str:
    """Render the end of a turn. A failed turn was already reported as an error."""
    if data["status"] in ("failed", "interrupted"):
        return ""
    outcome = "Done" if data["status"] == "done" else f"Ended ({data['status']})"
    calls = plural(data["iterations"], "model call")
    return f"{outcome} after {calls}:\n{data['text']}\ncontinue: ml-intern -r {thread_id[:8]}"


_RENDERERS = {"approval_required": _approval, "error": _failed, "turn_complete": _ended}


def _code(text: str) -> str:
    """Return a code block, in which no character is formatting. Backticks that would end it are replaced."""
    inner = text.replace("```", "'''")
    return f"```\n{inner}\n```"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} [...]"
