"""The user's hooks at the end of a turn and for questions. They run beside the session, which never waits for them."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ml_intern.execution.hooks import HookName, run_hooks
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit, Event

NAMES: dict[str, HookName] = {
    "turn_complete": "at_stop",
    "interrupted": "at_stop",
    "approval_required": "on_question",
}
"""The hooks of events."""


class SessionHooks:
    """Starts the hooks of events. Those of one event run one after the other."""

    def __init__(self, options: RunOptions, emit: Emit, report: Callable[[str], object]) -> None:
        self._options = options
        self._emit = emit
        self._report = report
        """Shows one line about a hook that fails while the session closes, when no one reads events any more."""
        self._closing = False
        self._running: set[asyncio.Task[None]] = set()

    def take(self, event: Event) -> None:
        """Start the hooks of an event."""
        name = NAMES.get(event.type)
        if name is not None and self._options.hooks.get(name):
            task = asyncio.create_task(self._run(name, event))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Wait for the hooks that run, within their time limits."""
        self._closing = True
        while self._running:
            await asyncio.gather(*self._running)

    async def _run(self, name: HookName, event: Event) -> None:
        given: dict[str, Any] = {"thread_id": event.thread_id, "event": asdict(event)}
        for end in await run_hooks(name, given, self._options, self._emit):
            if end.status != "ok" and self._closing:
                self._report(f"hook {name} {end.command!r} failed: {end.text}")
