"""A text on a screen of its own: a title, the lines that fit, and the keys that move in it."""

from collections.abc import Sequence
from typing import Final

from ml_intern.terminal.blocks.width import cut, one_row
from ml_intern.terminal.theme import Style, Theme
from ml_intern.terminal.views.outcome import CANCELLED, Cancelled

KEYS: Final = "arrows and page keys move, Esc goes back"
_STYLES: Final[dict[str, Style]] = {"+": "success", "-": "failure", "@": "accent"}


class TextView:
    """The lines of a text; those of a difference have colours."""

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        self._title, self._lines = title, lines
        self._first, self._height = 0, 1

    def handle(self, key: str) -> Cancelled | None:
        """Take a key."""
        steps = {"up": -1, "down": 1, "pageup": -self._height, "pagedown": self._height}
        if key in ("home", "end"):
            self._first = 0 if key == "home" else len(self._lines)
        elif key in steps:
            self._first += steps[key]
        elif key in ("esc", "enter", "q", "c-c", "c-d"):
            return CANCELLED
        self._first = max(min(self._first, len(self._lines) - self._height), 0)
        return None

    def rows(self, width: int, height: int, theme: Theme) -> list[str]:
        """Return the title, the lines that fit, and the keys."""
        self._height = max(height - 2, 1)
        shown = self._lines[self._first : self._first + self._height]
        lines = [theme.paint(_STYLES.get(line[:1], "plain"), cut(one_row(line), width)) for line in shown]
        title = theme.paint("bold", cut(one_row(self._title), width))
        return [title, *lines, *[""] * (self._height - len(lines)), theme.paint("hint", cut(KEYS, width))]
