"""`threads replay`: show a thread's events again, rebuilt from its conversation."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.threads.opened import conversation_of
from ml_intern.configs.errors import UsageError
from ml_intern.terminal.render.summary import duration

if TYPE_CHECKING:
    from ml_intern.graph.events import Event

MAX_WAIT = 5.0
"""Longest pause between two events, in seconds, even if hours passed between them originally."""


def replay(
    thread: Annotated[str, typer.Argument(metavar="THREAD", help="id, unique id prefix or title")],
    speed: Annotated[
        float | None,
        typer.Option("--speed", metavar="N", help="N times the original speed (default: no pauses)"),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="show reasoning and tool output")] = False,
    json: Annotated[bool, typer.Option("--json", help="print one event per line, as stream-json does")] = False,
) -> int:
    """Replay a thread's events. No model is called and no tool is run."""
    from ml_intern.configs.version import version
    from ml_intern.outbound.exporting.event_lines import rebuild_events
    from ml_intern.outbound.exporting.formats import redact_conversation

    if speed is not None and not speed > 0:
        raise UsageError(f"--speed {speed:g} is not valid", "use a number above 0; 2 is twice the original speed")
    conversation = redact_conversation(asyncio.run(conversation_of(thread)))
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
    """Show the events. Ctrl-C takes effect between two events, never while the screen is drawn."""
    before: float | None = None
    for event in events:
        waited = (event.time - before) / speed if speed and before is not None else 0.0
        await asyncio.sleep(min(waited, MAX_WAIT))
        show(event)
        before = event.time


def _lines() -> "Callable[[Event], None]":
    from ml_intern.commands.options import Options
    from ml_intern.commands.running.formats import format_for

    return format_for(Options(output_format="stream-json")).event


class _Watched:
    """The transcript of the interactive session, printed, with the user's messages."""

    def __init__(self, *, verbose: bool) -> None:
        from ml_intern.terminal.render.printer import Printer

        self._printer = Printer(verbose=verbose)
        self._began = 0.0

    def show(self, event: "Event") -> None:
        """Show one event. The duration of a turn is the original one."""
        transcript = self._printer.transcript
        if event.type in ("processing", "steered"):
            self._began = event.time if event.type == "processing" else self._began
            transcript.said(event.data["text"])
        elif event.type == "turn_complete" and event.data["status"] == "done":
            transcript.rest()
            transcript.show_plan()
            transcript.line(f"turn {event.data['turn']}, {duration(event.time - self._began)}", "dim")
        else:
            transcript.show(event)
        self._printer.print()

    def stop(self) -> None:
        """Print what is open."""
        self._printer.transcript.rest()
        self._printer.print()
