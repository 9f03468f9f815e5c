"""Shows a headless run on the terminal at stderr: what the interactive session shows, without questions."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ml_intern.graph.events import Event
from ml_intern.terminal.blocks.width import cells
from ml_intern.terminal.display.frame import CursorPlace, Frame, Size
from ml_intern.terminal.display.rows import wrap
from ml_intern.terminal.state import Transcript
from ml_intern.terminal.theme import Theme
from ml_intern.text.formatting import spent

FRAME_S = 0.1
"""Shortest time between two frames in which nothing is finished."""
MODES: Mapping[str, str] = {
    "auto": "approves its own calls (mode auto); to be asked instead, use ml-intern -i",
    "yolo": "approves everything that no deny rule forbids (mode yolo); to be asked instead, use ml-intern -i",
    "ask": "stops at the first call that needs approval (mode ask); to answer here, use ml-intern -i",
    "accept-edits": "edits files, and stops at other calls that need approval; to answer here, use ml-intern -i",
    "plan": "only reads (mode plan); to accept the plan and continue, use ml-intern -i",
}
"""How a headless run treats approvals, by approval mode."""


class ProgressRenderer:
    """Shows the events of a run. `clock` returns seconds; `hint` is the last row, such as the name of a key."""

    def __init__(
        self,
        write: Callable[[str], object],
        size: Callable[[], Size],
        theme: Theme,
        *,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._frame = Frame(write, size)
        self._transcript = Transcript(theme, verbose=verbose, medium="progress", clock=clock)
        self._clock = clock
        self._cost, self._unpriced = 0.0, 0
        self._drawn = float("-inf")
        self.hint = ""

    def show(self, event: Event) -> None:
        """Show one event. Rows that do not change any more are printed at once, the others with the next frame."""
        match event.type:
            case "ready":
                self._greet(event.data)
            case "processing":
                self._spend(0.0, 0)
            case "usage":
                cost = event.data["cost_usd"]
                self._spend(self._cost + (cost or 0.0), self._unpriced + (cost is None))
        if shown := _without_ending(event):
            self._transcript.show(shown)
        elif event.type != "error":
            self._transcript.rest()
        self._draw()

    def tick(self) -> None:
        """Draw the next frame, so that times count while nothing happens."""
        self._transcript.tick()
        self._drawn = float("-inf")
        self._draw()

    def _draw(self) -> None:
        size = self._size()
        room = max(size.height // 2 - 2, 2)
        finished = self._transcript.finished(size.width, room)
        if not finished and self._clock() - self._drawn < FRAME_S:
            return
        self._drawn = self._clock()
        rows = self._transcript.live(size.width - 1, room)
        if rows and self.hint:
            rows += [self._transcript.paint("dim", row) for row in wrap(self.hint, size.width - 1)]
        self._frame.draw(rows, CursorPlace(max(len(rows) - 1, 0), cells(rows[-1]) if rows else 0), finished)

    def _greet(self, data: Mapping[str, Any]) -> None:
        does = MODES.get(data["approval_mode"], f"mode {data['approval_mode']}")
        self._transcript.line(f"ml-intern {data['version']} {does}", "bold")
        self._transcript.line(f"{data['model']}  {data['cwd']}", "dim")
        for note in data["notes"]:
            self._transcript.line(f"note: {note}", "warning")

    def _spend(self, cost: float, unpriced: int) -> None:
        self._cost, self._unpriced = cost, unpriced
        self._transcript.turn_cost = spent(cost, unpriced)
        self._transcript.beside_time = self._transcript.turn_cost if cost or unpriced else ""


def _without_ending(event: Event) -> Event | None:
    """Return the event without why a turn ended early, which the end of the run says; None if nothing is left."""
    data = event.data
    if event.type in ("interrupted", "shutdown") or (event.type == "error" and data["exit_code"] is not None):
        return None
    if event.type == "turn_complete":
        return replace(event, data={**data, "status": "done"})
    return event
