"""The end of a turn in one row, and the clock that counts its work without the time a question waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_intern.terminal.blocks.note import note_rows
from ml_intern.terminal.render.summary import tokens
from ml_intern.terminal.theme import Theme
from ml_intern.text.formatting import duration

STOPPED_S = 5.0
"""Seconds without a tick after which the program was stopped: by Ctrl-Z, say."""


@dataclass
class WorkClock:
    """Counts seconds of work. Times come from the caller, on any clock that only grows.

    A caller that ticks several times a second makes it leave out the time that the program itself was stopped.

    A turn whose beginning was not seen, such as one that waits when its thread is resumed, begins with what is seen.
    """

    _began: float | None = None
    _paused_at: float | None = None
    _waited: float = field(default=0.0)
    _ticked: float | None = None
    _stopped: float = 0.0

    def start(self, now: float) -> None:
        """Begin a turn."""
        self._began, self._paused_at, self._waited = now, None, 0.0
        self._ticked, self._stopped = None, 0.0

    def stop(self) -> None:
        """End the turn."""
        self._began, self._paused_at, self._waited = None, None, 0.0

    def pause(self, now: float) -> None:
        """Stop counting: a question waits for the user."""
        self._see(now)
        if self._paused_at is None:
            self._paused_at = now
            self._ticked = None

    def resume(self, now: float) -> None:
        """Count again: the question is answered."""
        self._see(now)
        if self._paused_at is not None:
            self._waited += now - self._paused_at
            self._paused_at = None

    def tick(self, now: float) -> None:
        """Note that the program runs."""
        self.see_stop(now)
        if self._began is not None and self._paused_at is None:
            self._ticked = now

    def see_stop(self, now: float) -> None:
        """Leave out the time since the last tick if the program was stopped."""
        if self._ticked is not None and now - self._ticked > STOPPED_S:
            self._stopped += now - self._ticked
            self._ticked = now

    def worked(self, now: float) -> float:
        """Return the seconds of work since the start."""
        if self._began is None:
            return 0.0
        return (now if self._paused_at is None else self._paused_at) - self._began - self._waited - self._stopped

    def waited(self, now: float) -> float:
        """Return the seconds that questions waited."""
        return self._waited + (now - self._paused_at if self._paused_at is not None else 0.0)

    def _see(self, now: float) -> None:
        if self._began is None:
            self.start(now)


WAIT_SHOWN_S = 1.0


@dataclass(frozen=True)
class TurnSummary:
    """The end of a turn."""

    status: str
    text: str
    seconds: float
    waited: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: str = ""

    def rows(self, width: int, theme: Theme) -> list[str]:
        """Return the rows: time, tokens and cost of a turn that is done, else why it ended."""
        if self.status == "done":
            return note_rows(self._numbers(), "dim", width, theme)
        if self.status == "contradicted":
            text = "contradicted: the evidence does not agree with this answer"
            return [*note_rows(text, "failure", width, theme), *note_rows(self._numbers(), "dim", width, theme)]
        rows = note_rows(f"{self.status}: {self.text}" if self.text else self.status, "warning", width, theme)
        return [*rows, *note_rows(self._numbers(), "dim", width, theme)]

    def _numbers(self) -> str:
        waited = f" (and {duration(self.waited)} waiting for you)" if self.waited >= WAIT_SHOWN_S else ""
        used = f"{tokens(self.input_tokens)} in, {tokens(self.output_tokens)} out" if self.input_tokens else ""
        return ", ".join(filter(None, [f"{duration(self.seconds)}{waited}", used, self.cost]))


def summary_of(
    data: Mapping[str, Any], clock: WorkClock, now: float, used: Mapping[str, int], cost: str
) -> TurnSummary:
    """Return the summary of a turn from the data of `turn_complete`, its clock and its usage."""
    return TurnSummary(
        data["status"],
        data["text"],
        clock.worked(now),
        clock.waited(now),
        used.get("input_tokens", 0),
        used.get("output_tokens", 0),
        cost,
    )
