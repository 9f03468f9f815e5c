"""`threads replay`: a thread's events once more, rebuilt from its conversation. No model is called, no tool is run."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import UsageError
from ml_intern.terminal.render.summary import duration

if TYPE_CHECKING:
    from ml_intern.graph.events import Event
    from ml_intern.outbound.conversation import Conversation

MAX_WAIT = 5.0
"""Seconds: what was a night at work is no wait when it is watched again."""


def replay(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="an id, a unique prefix of one, or a title")],
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="N", help="N times as fast as it was; without it, at once")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="show reasoning and the output of tools")] = False,
    json: Annotated[bool, typer.Option("--json", help="one event per line, as stream-json")] = False,
) -> int:
    """Show a thread again as it went. No model is called and no tool is run."""
    from ml_intern.configs.version import version
    from ml_intern.outbound.exporting.event_lines import rebuild_events
    from ml_intern.outbound.exporting.formats import redact_conversation

    if speed is not None and not speed > 0:
        raise UsageError(f"--speed {speed:g} is no speed", "2 is twice as fast as it was")
    conversation = redact_conversation(asyncio.run(_read(thread)))
    events = rebuild_events(conversation, version())
    if json:
        asyncio.run(_play(events, _lines(), speed))
        return 0
    watched = _Watched(verbose=verbose)
    try:
        asyncio.run(_play(events, watched.show, speed))
    finally:
        watched.stop()
    return 0


async def _play(events: "Iterable[Event]", show: "Callable[[Event], None]", speed: float | None) -> None:
    """Show the events. Ctrl-C strikes between two of them, never while the screen is drawn."""
    before: float | None = None
    for event in events:
        waited = (event.time - before) / speed if speed and before is not None else 0.0
        await asyncio.sleep(min(waited, MAX_WAIT))
        show(event)
        before = event.time


async def _read(text: str) -> "Conversation":
    async with threads_of_user() as threads, threads.read(text) as thread:
        return await thread.conversation()


def _lines() -> "Callable[[Event], None]":
    from ml_intern.commands.options import Options
    from ml_intern.commands.running.formats import format_for

    return format_for(Options(output_format="stream-json")).event


class _Watched:
    """The renderer of the interactive session, and what there stands on the screen already: the user's messages."""

    def __init__(self, *, verbose: bool) -> None:
        from ml_intern.terminal.screen import Screen, open_console

        self._screen: Screen = Screen(open_console(), verbose=verbose)
        self._began = 0.0

    def show(self, event: "Event") -> None:
        """Show one event; a turn's time is what it took then, not now."""
        if event.type == "processing":
            self._began = event.time
            for line in event.data["text"].strip().splitlines():
                self._screen.line(f"> {line}", "bold")
        elif event.type == "turn_complete" and event.data["status"] == "done":
            self._screen.stop()
            self._screen.line(f"turn {event.data['turn']}, {duration(event.time - self._began)}", "dim")
        else:
            self._screen.show(event)

    def stop(self) -> None:
        """Nothing moves any more, and the cursor is shown."""
        self._screen.stop()
