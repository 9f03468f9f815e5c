"""A call that runs: its arguments, when it began, and the end of its output."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_intern.terminal.blocks.call import LINES, running
from ml_intern.terminal.theme import Theme

OPEN_CHARACTERS = 4_000


@dataclass
class RunningCall:
    """Collects the output of a call. `began` is in seconds of any clock."""

    name: str
    args: Mapping[str, Any]
    began: float
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    _open: str = ""
    """The last line, as long as it is not finished."""
    _finished: int = 0

    def add(self, text: str) -> None:
        """Add output."""
        *lines, last = (self._open + text).split("\n")
        self._tail.extend(map(_after_return, lines[-LINES:]))
        self._open = last[-OPEN_CHARACTERS:]
        self._finished += len(lines)

    def rows(self, now: float, width: int, theme: Theme, limit: int = LINES) -> list[str]:
        """Return the rows of the block. With fewer than five lines of output it does not count the others."""
        last = _after_return(self._open)
        lines = [*self._tail, *[last] * bool(last.strip())]
        count = self._finished + len(lines) - len(self._tail)
        shown = lines[-limit:] if limit else []
        count = count if limit >= LINES else len(shown)
        return running(self.name, self.args, now - self.began, shown, count).rows(width, theme)


def _after_return(line: str) -> str:
    """Return the part of a line that a terminal shows: what follows the last carriage return."""
    return line.rstrip("\r").rpartition("\r")[2]
