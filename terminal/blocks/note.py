"""Messages of ml-intern itself: notes, warnings, errors, waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_intern.terminal.blocks.spans import Span, paint, wrap
from ml_intern.terminal.blocks.width import clean, one_row
from ml_intern.terminal.theme import Style, Theme
from ml_intern.text.formatting import duration

MAX_ERROR = 1_000


def note_rows(text: str, style: Style, width: int, theme: Theme, mark: str = "") -> list[str]:
    """Return the rows of a message. `mark` begins its first row."""
    first = (Span(mark, style),) if mark else ()
    rest = (Span(" " * len(mark)),) if mark else ()
    lines = clean(text).split("\n")
    return [paint(row, theme) for line in lines for row in wrap((Span(line, style),), width, first, rest)]


def error_rows(data: Mapping[str, Any], width: int, theme: Theme) -> list[str]:
    """Return the rows of an error or a warning, from the data of `error`: what happened, then the remedy."""
    is_warning = data["exit_code"] is None
    style: Style = "warning" if is_warning else "failure"
    mark = f"{theme.glyph('failure')} " if not is_warning else "note: "
    rows = note_rows(one_row(data["message"])[:MAX_ERROR], style, width, theme, mark)
    return rows + (note_rows(one_row(data["remedy"]), "plain", width, theme, " " * len(mark)) if data["remedy"] else [])


@dataclass(frozen=True)
class Retry:
    """An error that is retried. `wait_s` is the delay from the moment it happened."""

    message: str
    wait_s: float

    def rows(self, width: int, theme: Theme, elapsed: float | None = None) -> list[str]:
        """Return the rows: with `elapsed` seconds a countdown, without it what is left of the error afterwards."""
        left = max(self.wait_s - elapsed, 0.0) if elapsed is not None else None
        when = f"trying again in {duration(left)}" if left else "trying again"
        if left is None:
            when = f"tried again after {duration(self.wait_s)}"
        return note_rows(f"{one_row(self.message)}; {when}", "warning", width, theme)
