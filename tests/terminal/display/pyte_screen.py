"""A terminal in memory with its scrollback, to draw frames on."""

import re

import pyte

from ml_intern.terminal.display.frame import MARK, Frame, Resizing, Size
from tests.terminal.window import Scrollback

SYNCHRONIZED = re.compile(r"\x1b\[\?2026[hl]")


class Drawn:
    """A frame on a terminal in memory."""

    def __init__(self, width: int, height: int, resizing: Resizing = "wraps") -> None:
        self.screen = Scrollback(width, height, history=100_000, ratio=1)
        self._stream = pyte.Stream(self.screen)
        self.writes: list[str] = []
        self.reported = Size(width, height)
        self.frame = Frame(self.write, lambda: self.reported, resizing=resizing)
        self._marked = 0
        """The number of the row that is marked as a prompt, from the beginning of the scrollback."""

    def write(self, text: str) -> None:
        self.writes.append(text)
        before, *after = SYNCHRONIZED.sub("", text).split(MARK)
        self._stream.feed(before)
        for part in after:
            self._marked = len(self.screen.history.top) + self.screen.cursor.y
            self._stream.feed(part)

    def resize_as_kitty(self, width: int, height: int) -> None:
        """Change the size of the window: the text of the marked prompt is removed, up to the end of the screen."""
        for row in range(self._marked - len(self.screen.history.top), self.screen.lines):
            self.screen.buffer[row].clear()
        self.screen.resize(height, width)

    def view(self) -> list[str]:
        """The rows of the screen, without those after the last that has text."""
        rows = [row.rstrip() for row in self.screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def everything(self) -> list[str]:
        """The scrollback, then the screen."""
        above = ["".join(row[column].data for column in range(self.screen.columns)).rstrip()
                 for row in self.screen.history.top]  # fmt: skip
        return [*above, *self.view()]
