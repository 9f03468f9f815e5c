"""The actions of the application at each event of the session, besides showing it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Protocol

from ml_intern.configs.errors import TemporaryError
from ml_intern.terminal.display.facts import StatusFacts
from ml_intern.terminal.render.replay import without_files
from ml_intern.terminal.render.summary import one_line
from ml_intern.text.formatting import plural, spent

if TYPE_CHECKING:
    from ml_intern.graph.events import Event
    from ml_intern.session.protocol import Session, Totals
    from ml_intern.terminal.display.signals import Signals
    from ml_intern.terminal.state import Transcript

RUNS_S = 2.0
"""Seconds between two readings of unfinished runs."""


class EventClient(Protocol):
    """The application, as far as events change what it does."""

    def turn_began(self) -> None:
        """Follow a turn that began."""

    def answered(self, by: str, device: str) -> None:
        """Ask no longer: a client answered the approval."""

    def options_changed(self) -> None:
        """Take note that the options of the session are those that were asked for."""


class SessionEvents:
    """Reads the events of one session."""

    def __init__(
        self,
        session: "Session",
        screen: "Transcript",
        client: "EventClient",
        signals: "Signals",
        fill: Callable[[str], None],
    ) -> None:
        self._session = session
        self._screen = screen
        self._client = client
        self._notifier = signals
        self._run_news = asyncio.Event()
        self._fill = fill
        self.tools: tuple[str, ...] = ()
        self.requests: Sequence[dict[str, Any]] = ()
        """The approval requests that wait for an answer."""
        self.failed: Exception | None = None
        """An error while an event was shown."""
        self.facts = StatusFacts()
        """The facts about the session in the status line."""
        """The messages of the user, as typed."""
        self.queued: dict[str, str] = {}
        """The messages that wait in the session, as typed, by id."""
        self._steered = set[str]()
        """The ids of those that the running turn gets before its next model call."""
        self.queue_paused = False
        """Whether they wait for the user, because the turn before them did not end well."""
        self.unfinished = False
        """Whether the last turn ended early and can be continued."""
        self._typed: dict[str, str] = {}
        """The messages that are not in the conversation yet, by id."""
        self._handlers: Mapping[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "ready": self._ready,
            "resumed": self._show_history,
            "approval_required": self._note_requests,
            "approval_answered": self._note_answer,
            "queue": self._note_queue,
            "usage": self._note_usage,
            "undo_complete": self._show_undo,
            "turn_complete": self._turn_ended,
            "tool_output": self._note_runs,
            "job_update": self._run_changed,
        }
        self._greeted = False
        self._noted = set[str]()
        self._spent: Totals | None = None
        """The latest totals."""
        self._spent_before: Totals | None = None
        """The totals before the current turn, or before this session if it continues a turn."""

    async def consume(self) -> None:
        """Show every event. An error while showing one is saved, so that the session does not stall."""
        async for event in self._session.events():
            try:
                await self._take(event)
            except Exception as error:  # noqa: BLE001 - raised again by the application
                self.failed = self.failed or error

    def waiting(self) -> list[str]:
        """Return a line for each message that waits in the session."""
        return [
            f"{'before the next model call' if id in self._steered else 'queued'}: {text}"
            for id, text in self.queued.items()
        ]

    def expect(self, id: str, typed: str) -> None:
        """Show this text when the message with this id joins the conversation."""
        self._typed[id] = typed

    async def _take(self, event: "Event") -> None:
        await self._before(event)
        self._screen.show(event, max(time.time() - event.time, 0.0))
        if (follow := self._handlers.get(event.type)) is not None:
            await follow(event.data)

    def continued(self) -> None:
        """Follow the continuation of the last turn."""
        self.unfinished = False
        self._screen.begin()
        self._begin()

    def _begin(self) -> None:
        self._spent_before = self._spent
        self.facts.turn_began()
        self._client.turn_began()
        self._notifier.turn_began()

    async def _before(self, event: "Event") -> None:
        """Do what must precede the rows of the event: the user's message, the cost of the turn."""
        if event.type in ("processing", "steered"):
            self._show_message(event.data["id"])
        self.unfinished = is_unfinished(event, before=self.unfinished)
        if event.type == "processing":
            self._begin()
        elif event.type == "turn_complete":
            await self.count_spending()

    def _show_message(self, id: str) -> None:
        typed = self._typed.pop(id, None)
        if typed and not self._screen.has_replayed(id):
            self._screen.said(typed)

    # --- background runs

    async def watch_runs(self) -> None:
        """Keep the runs in the status line up to date, until cancelled."""
        while True:
            self._run_news.clear()
            with suppress(TemporaryError):  # the next reading may succeed
                if self.facts.runs(await self._session.runs.unfinished()):
                    self._screen.on_change()
            with suppress(TimeoutError):
                async with asyncio.timeout(RUNS_S if self.facts.jobs else None):
                    await self._run_news.wait()

    async def _note_runs(self, _: dict[str, Any]) -> None:
        self._run_news.set()

    async def _run_changed(self, data: dict[str, Any]) -> None:
        self._run_news.set()
        self._notifier.run_changed(data["id"], data["state"])

    # --- events

    async def _ready(self, data: dict[str, Any]) -> None:
        self.tools = tuple(data["tools"])
        self.facts.ready(self._session, data)
        self._client.options_changed()
        self._greet(data)

    async def _note_usage(self, data: dict[str, Any]) -> None:
        self.facts.usage(data)
        await self.count_spending()

    async def _note_requests(self, data: dict[str, Any]) -> None:
        self.requests = data["requests"]

    async def _note_answer(self, data: dict[str, Any]) -> None:
        self.requests = ()
        self._client.answered(data["by"], data["device"])

    async def _turn_ended(self, data: dict[str, Any]) -> None:
        self._notifier.turn_ended(data["status"], len(self.queued))
        if self._session.options.approval_mode == "plan":
            self._screen.line("plan mode: type /plan accept to carry out the plan, or a message to change it", "dim")

    async def _note_queue(self, data: dict[str, Any]) -> None:
        self.queued = {one["id"]: one["text"] for one in data["messages"]}
        self._steered = {one["id"] for one in data["messages"] if one["steer"]}
        self.queue_paused = data["paused"]
        self._typed = self.queued | self._typed
        self._screen.on_change()

    async def count_spending(self) -> None:
        """Read from the ledger what the thread and its latest turn have cost."""
        total = self._spent = await self._session.totals()
        self.facts.spent(total)
        self._spent_before = self._spent_before or total
        turn = total.since(self._spent_before)
        self._screen.spent = spent(total.cost_usd, total.unpriced_requests)
        self._screen.turn_cost = spent(turn.cost_usd, turn.unpriced_requests)

    def _greet(self, data: dict[str, Any]) -> None:
        """Show the session's header once, and notes that were not shown before, such as a server that failed."""
        if not self._greeted:
            self._screen.line(
                f"ml-intern {data['version']}  {data['model']}  approval: {data['approval_mode']}", "bold"
            )
            self._screen.line(f"{data['cwd']}  (/help shows the commands)", "dim")
        self._greeted = True
        for note in data["notes"]:
            if note not in self._noted:
                self._screen.line(f"note: {note}", "warning")
        self._noted.update(data["notes"])

    async def _show_undo(self, data: dict[str, Any]) -> None:
        what = "undone" if data["direction"] == "undo" else "restored"
        if data["turns"]:
            first = one_line(without_files(data["text"]), 60)
            since = "from" if data["direction"] == "undo" else "up to"
            self._screen.line(f"{what}: {plural(data['turns'], 'turn')}, {since} {first!r}", "dim")
        for note in data["notes"]:
            self._screen.line(note, "dim")
        if data["direction"] == "undo" and data["turns"]:
            self._fill(without_files(data["text"]))

    async def _show_history(self, _: dict[str, Any]) -> None:
        """Show the last screens of a resumed thread, and that it works."""
        self.facts.resumed()
        size, history = get_terminal_size(), await self._session.history()
        self._screen.replay(history, size.columns, size.lines)
        row = await self._session.row()
        if row and row.state == "running" and not self._screen.activity:  # a turn that this process did not see begin
            self._screen.begin("working")


def is_unfinished(event: "Event", *, before: bool) -> bool:
    """Return whether a turn that ended early can be continued after this event."""
    match event.type:
        case "resumed":
            return bool(event.data["ended"])
        case "interrupted":
            return True
        case "turn_complete":
            return event.data["status"] not in ("done", "contradicted")
        case "processing" | "tool_call" | "undo_complete":
            return False
    return before
