"""A call that runs: its arguments, when it began, and the end of its output."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ml_intern.terminal.blocks.call import LINES, CallBlock, running
from ml_intern.terminal.theme import Theme

OPEN_CHARACTERS = 4_000
MAX_CHARACTERS = 200_000
"""The output of a call that can be read while it runs: its end."""


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
    _texts: deque[str] = field(default_factory=deque[str])
    _characters: int = 0
    _left_out: int = 0

    def add(self, text: str) -> None:
        """Add output."""
        self._texts.append(text)
        self._characters += len(text)
        while self._characters > MAX_CHARACTERS and len(self._texts) > 1:
            removed = len(self._texts.popleft())
            self._characters -= removed
            self._left_out += removed
        *lines, last = (self._open + text).split("\n")
        self._tail.extend(map(_after_return, lines[-LINES:]))
        self._open = last[-OPEN_CHARACTERS:]
        self._finished += len(lines)

    def output(self) -> str:
        """Return the output so far, its beginning left out if it is long."""
        gap = f"[... {self._left_out:,} characters ...]\n" if self._left_out else ""
        return gap + "\n".join(map(_after_return, "".join(self._texts).split("\n")))

    def rows(self, now: float, width: int, theme: Theme, limit: int = LINES) -> list[str]:
        """Return the rows of the block. With fewer than five lines of output it does not count the others."""
        block = self._block(now)
        if limit < LINES:
            block = replace(block, output=block.output[-limit:] if limit else (), left_out=0)
        return block.rows(width, theme)

    def interrupted(self, now: float, *, keys: bool) -> CallBlock:
        """Return the block of the call after it was interrupted, with its last lines. `keys`: see CallBlock."""
        return replace(self._block(now), state="rejected", ending="interrupted", keys=keys)

    def _block(self, now: float) -> CallBlock:
        last = _after_return(self._open)
        lines = [*self._tail, *[last] * bool(last.strip())]
        count = self._finished + len(lines) - len(self._tail)
        return running(self.name, self.args, now - self.began, lines, count)


def _after_return(line: str) -> str:
    """Return the part of a line that a terminal shows: what follows the last carriage return."""
    return line.rstrip("\r").rpartition("\r")[2]
