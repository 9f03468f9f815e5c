"""A terminal whose window can be resized, with the scrollback that a terminal keeps."""

import copy
from pathlib import Path
from typing import Any

import pyte

from tests.terminal.driver import Terminal, set_size

WIDTH, HEIGHT = 80, 24


class Scrollback(pyte.HistoryScreen):
    """A screen that keeps what scrolls off, also when it becomes lower.

    It does not wrap its rows anew: they are cut where it becomes narrower, and whole again where it becomes wider.
    """

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        lines = lines or self.lines
        for _ in range(max(self.cursor.y + 1 - lines, 0)):  # as terminals do: the rows above the cursor scroll off
            self.history.top.append(copy.copy(self.buffer[0]))
            for row in range(self.lines - 1):
                self.buffer[row] = self.buffer[row + 1]
            self.buffer.pop(self.lines - 1, None)
            self.cursor.y -= 1
        for row in range(lines, self.lines):
            self.buffer.pop(row, None)
        self.lines, self.columns = lines, columns or self.columns
        super().resize(lines, columns)

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:  # noqa: FBT001 - as in pyte
        super().erase_in_line(how, private)
        if how == 2 or (how == 0 and not self.cursor.x):
            self.buffer[self.cursor.y].clear()

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        super().erase_in_display(how, *args, **kwargs)
        for row in range(self.cursor.y + 1, self.lines):
            self.buffer[row].clear()


class Window(Terminal):
    """The program in a window of 80 by 24."""

    screen: Scrollback

    def __init__(self, argv: list[str], folder: Path, home: Path, **environment: str) -> None:
        super().__init__(argv, folder, home, XTERM_VERSION="1", **environment)

    def _new_screen(self) -> pyte.Screen:
        return Scrollback(WIDTH, HEIGHT, history=10_000, ratio=1)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        self.screen.resize(rows, columns)
        self.report_size(columns, rows)

    def report_size(self, columns: int, rows: int) -> None:
        """Report a size, whether or not the window has it."""
        set_size(self._main, columns, rows)

    def everything(self) -> list[str]:
        """The scrollback, then the screen."""
        screen = [self.screen.buffer[row] for row in range(self.screen.lines)]
        return [_text(row) for row in [*self.screen.history.top, *screen]]


def _text(row: Any) -> str:
    return "".join(row[column].data for column in range(max(row, default=-1) + 1)).rstrip()
