"""EventRecorder: writes the events of a session to the database, where other machines follow them."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError
from ml_intern.graph.events import Event
from ml_intern.session.wire.codec import encode_event
from ml_intern.session.wire.tail import TRANSIENT

if TYPE_CHECKING:
    from ml_intern.store.store import Store

SAVE_SECONDS = 0.05
"""The time in which events are collected for one transaction."""
MAX_LIVE = 1_000
"""Characters of one announcement. PostgreSQL allows 8,000 bytes."""
PROGRESS = frozenset({"assistant_message", "tool_output", "approval_required", "turn_complete", "undo_complete"})
"""Events which show that a session got somewhere."""

BEGINNINGS = frozenset({"processing", "approval_answered"})
ENDS = frozenset({"turn_complete", "interrupted", "approval_required", "undo_complete"})


class EventRecorder:
    """Takes the events of a session. Chunks of a reply and of output are announced and not stored."""

    def __init__(self, store: "Store", lost: Callable[[MLInternError], None]) -> None:
        self._store = store
        self._lost = lost
        self._live: list[Event] = []
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[None] | None = None
        self._has_progress = False

    def take(self, event: Event) -> None:
        """Record an event, soon."""
        if event.type in TRANSIENT:
            self._take_live(event)
        else:
            self._announce_live()
            self._store.events.add(event.thread_id, event.seq, _line(event))
            self._note_turn(event)
            self._note_progress(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_SECONDS, self._save)

    async def close(self) -> None:
        """Save the last events."""
        if self._timer is not None:
            self._timer.cancel()
        if self._saving is not None:
            await asyncio.wait({self._saving})
        self._announce_live()
        await self._saved()

    def _take_live(self, event: Event) -> None:
        """Join a chunk with those before it that belong to the same text."""
        last = self._live[-1] if self._live else None
        if last is not None and _text_of(last) == _text_of(event) and len(last.data["text"]) < MAX_LIVE:
            text = last.data["text"] + event.data["text"]
            self._live[-1] = replace(event, data={**event.data, "text": text})
        else:
            self._live.append(event)

    def _announce_live(self) -> None:
        for event in self._live:
            text = event.data["text"]
            for start in range(0, len(text), MAX_LIVE):
                part = replace(event, data={**event.data, "text": text[start : start + MAX_LIVE]})
                self._store.events.announce(_line(part))
        self._live.clear()

    def _note_turn(self, event: Event) -> None:
        if event.type in BEGINNINGS or event.type in ENDS or event.type == "resumed":
            in_turn = event.type in BEGINNINGS or bool(event.type == "resumed" and event.data["pending"])
            self._store.operations.note_turn(event.thread_id, in_turn=in_turn)

    def _note_progress(self, event: Event) -> None:
        if event.type in PROGRESS and not self._has_progress:
            self._has_progress = True
            self._store.operations.note_progress(event.thread_id)

    def _save(self) -> None:
        self._timer = None
        self._announce_live()
        self._saving = asyncio.create_task(self._saved())

    async def _saved(self) -> None:
        try:
            await self._store.events.save()
        except MLInternError as error:
            self._lost(error)


async def say(store: "Store", thread_id: str, message: str, remedy: str) -> None:
    """Record an error in a thread that this process has locked and that no session has opened."""
    numbers = store.event_numbers
    seq = await numbers.last(thread_id) + 1
    numbers.reserve(thread_id, seq)
    data = {"message": message, "remedy": remedy, "exit_code": None, "retry_in_s": None}
    recorder = EventRecorder(store, lambda _: None)
    recorder.take(Event("error", thread_id, seq, time.time(), data))
    await recorder.close()


def _text_of(event: Event) -> tuple[object, ...]:
    data = event.data
    return event.type, event.thread_id, data.get("message_id"), data.get("kind"), data.get("id")


def _line(event: Event) -> str:
    return json.dumps(encode_event(event), allow_nan=False, default=str)
