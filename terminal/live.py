"""A few rows below the printed ones that change in place, for the progress of a headless run."""

from collections.abc import Callable, Sequence
from typing import TextIO

from ml_intern.terminal.blocks.width import cells

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Synchronized update: the terminal shows what is between them at once."""


class LiveRows:
    """Prints finished rows, and below them rows that are erased before the next write."""

    def __init__(self, out: TextIO, width: Callable[[], int]) -> None:
        self._out = out
        self._width = width
        self._shown: list[str] = []

    @property
    def width(self) -> int:
        """Return the width that rows may have: one less than the terminal's, so that no row wraps."""
        return max(self._width() - 1, 8)

    def write(self, finished: Sequence[str], live: Sequence[str]) -> None:
        """Print finished rows for good and replace the live ones."""
        if not finished and list(live) == self._shown:
            return
        printed = "".join(f"{row}\n" for row in finished)
        changing = "\n".join(live)
        self._out.write(f"{_BEGIN}{self._erased()}{printed}{changing}{_END}")
        self._out.flush()
        self._shown = list(live)

    def _erased(self) -> str:
        """Return the sequence that erases the live rows. A narrower terminal has wrapped them anew."""
        if not self._shown:
            return ""
        width = max(self._width(), 1)
        rows = sum(max(-(-cells(row) // width), 1) for row in self._shown)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J"
