"""Writes to the terminal: the live part at the bottom, and finished rows above it. Nothing else writes there.

Finished rows become the terminal's own scrollback. The live part is drawn in place: only rows that changed are written,
each of them whole, because tmux wraps a row at the widest it ever was.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from ml_intern.terminal.blocks.width import cells
from ml_intern.terminal.display.rows import RESET, clip

BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
WRAP_ON, WRAP_OFF = "\x1b[?7h", "\x1b[?7l"
ERASE_ROW = "\r\x1b[2K"
ERASE_BELOW = "\x1b7\x1b[2K\x1b[B\x1b[J\x1b8"
"""Erase the cursor's row and those below. In its top left corner, tmux would save the whole screen first."""
MARK = "\x1b]133;A;k=s;redraw=1\x07"
"""Mark the cursor's row as the first of a prompt that the program draws again when the window is resized."""
UNMARK = "\x1b[M"
"""Delete the cursor's row, and its mark with it."""
CLOSE = "\x1b]133;C\x07"
"""Mark the cursor's row as output: the mark of a killed session above no longer counts as a prompt."""
REMEMBERED_ROWS = 400
LATE_S = 0.1
"""Seconds within which a frame may have reached a terminal that had become narrower before it said so."""
_IMAGE = re.compile(r"\x1b7.*\x1b8", re.DOTALL)
"""A row with an image: it saves and restores the position of the cursor."""


Resizing = Literal["wraps", "cuts", "blanks"]
"""The effect of a narrower window on the rows of the live part: the terminal wraps them anew, cuts them off, or removes
their text because they are marked as a prompt."""


def resizing_in(environ: Mapping[str, str]) -> Resizing:
    """Return what the terminal does with the live part in a narrower window.

    kitty 0.26 loses the row of the cursor when it wraps rows below it anew. It blanks a marked prompt instead.
    """
    if "XTERM_VERSION" in environ:
        return "cuts"
    return "blanks" if environ.get("TERM") == "xterm-kitty" and not environ.get("TMUX") else "wraps"


class Size(NamedTuple):
    """The size of the terminal."""

    width: int
    height: int


class CursorPlace(NamedTuple):
    """A position in the live part, from its top left corner."""

    row: int
    column: int


class Frame:
    """The live part of the screen. `resizing`: the effect of a narrower window on its rows."""

    def __init__(
        self,
        write: Callable[[str], object],
        size: Callable[[], Size],
        *,
        resizing: Resizing = "wraps",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._now_s = clock
        self._moved_at = float("-inf")
        """When rows were last added above or below the live part that stood there."""
        self._late = False
        """Whether the window began to change its size right after that."""
        self._size = size
        self._wraps = resizing == "wraps"
        self._mark, self._close, unmark = (MARK, CLOSE, UNMARK) if resizing == "blanks" else ("", "", "")
        self._erase_below = f"{unmark}{ERASE_BELOW}"
        self._rows: list[str] = []
        self._at = CursorPlace(0, 0)
        self._drawn_for: Size | None = None
        self._finished: deque[str] = deque(maxlen=REMEMBERED_ROWS)

    @property
    def resized(self) -> bool:
        """Return whether the terminal has another size than the last frame was drawn for."""
        return self._drawn_for is not None and self._size() != self._drawn_for

    def draw(self, rows: Sequence[str], cursor: CursorPlace, finished: Sequence[str] = ()) -> None:
        """Show the live rows with the cursor at `cursor`, after adding finished rows to the scrollback."""
        size, mark = self._size(), self._mark if rows else ""
        rows, cursor = _fitted(rows, cursor, size)
        if not finished and size == self._drawn_for and rows == self._rows and cursor == self._at:
            return
        if finished or self._drawn_for is None or size.width != self._drawn_for.width or not self._rows:
            above = f"{self._top(size.width)}{self._erase_below}{self._closed(finished)}{_committed(finished)}"
            body = f"{above}{WRAP_OFF}{mark}{_fresh(rows)}"
            end = CursorPlace(len(rows) - 1, 0)
        else:
            body, end = self._changed(rows)
            body = f"{WRAP_OFF}{body}"
        if finished or len(rows) > len(self._rows):
            self._moved_at = self._now_s()
        self._finished.extend(_IMAGE.sub("", row) for row in finished)
        self._put(f"{body}{_move(end, cursor)}{WRAP_ON}")
        self._rows, self._at, self._drawn_for, self._late = rows, cursor, size, False

    def hold(self) -> None:
        """Take note that the window changes its size. Call `erase` when the size rests.

        Where the terminal wraps rows anew, they stay till then: a wider window after a narrower one unwraps them, and
        what is written meanwhile may reach either.
        """
        if self._wraps:
            self._late = self._now_s() - self._moved_at < LATE_S
        else:
            self.erase()

    def erase(self) -> None:
        """Remove the live part. The cursor stands where it began."""
        width = self._size().width
        if self._rows:
            self._put(f"{self._top(width)}{self._erase_below}{WRAP_ON}")
        self._rows, self._at, self._drawn_for, self._late = [], CursorPlace(0, 0), self._size(), False

    def repaint(self, rows: Sequence[str], cursor: CursorPlace) -> None:
        """Clear the view and print the last finished rows and the live part again. The scrollback is not touched."""
        width, height = self._size()
        cleared = f"\x1b[H{(ERASE_ROW + chr(27) + '[B') * (height - 1)}{ERASE_ROW}\x1b[H"
        self._put(cleared)
        self._rows, self._at = [], CursorPlace(0, 0)
        latest, room = deque[str](), height - len(rows)
        for row in reversed(self._finished):
            room -= max(-(-cells(row) // width), 1)
            if room < 0:
                break
            latest.appendleft(row)
        again = list(latest)
        for _ in again:
            self._finished.pop()
        self.draw(rows, cursor, again)

    def forget(self) -> None:
        """Do not print the finished rows so far again."""
        self._finished.clear()

    def _closed(self, finished: Sequence[str]) -> str:
        """Return what closes an earlier mark: before the first finished row, not later."""
        close, self._close = (self._close, "") if finished else ("", self._close)
        return close

    def _put(self, body: str) -> None:
        self._write(f"{BEGIN}{HIDE}{body}{SHOW}{END}")

    def _top(self, width: int) -> str:
        """Move to the first row of the live part, which the terminal may have wrapped anew at this width.

        If the last frame may have come too late to be wrapped, assume that it did: rows of the live part that stay
        above are better than finished rows that are lost. They may end in a wrapped row, so a new row follows them.
        """
        above = wrapped = self._at.row
        if self._drawn_for and width < self._drawn_for.width and self._wraps:
            wrapped = sum(max(-(-cells(row) // width), 1) for row in self._rows[: self._at.row])
            wrapped += self._at.column // width
        if wrapped > above and (self._late or self._now_s() - self._moved_at < LATE_S):
            return f"{_up(above)}\r{ERASE_BELOW}\r\n"
        return f"{_up(wrapped)}\r"

    def _changed(self, rows: Sequence[str]) -> tuple[str, CursorPlace]:
        """Return what turns the drawn rows into these, and where the cursor stands then."""
        out, at, known = list[str](), self._at, len(self._rows)
        for number, row in enumerate(rows[:known]):
            if row != self._rows[number]:
                out.append(f"{_move(at, CursorPlace(number, 0))}{ERASE_ROW}{row}{RESET}")
                at = CursorPlace(number, 0)
        if len(rows) > known:
            added = "".join(f"\r\n{ERASE_ROW}{row}{RESET}" for row in rows[known:])
            out.append(f"{_move(at, CursorPlace(known - 1, 0))}{added}")
            at = CursorPlace(len(rows) - 1, 0)
        elif len(rows) < known:
            out.append(f"{_move(at, CursorPlace(len(rows), 0))}{ERASE_BELOW}")
            at = CursorPlace(len(rows), 0)
        return "".join(out), at


def _fitted(rows: Sequence[str], cursor: CursorPlace, size: Size) -> tuple[list[str], CursorPlace]:
    """Return the last rows that fit on the screen, one cell narrower than it, and the cursor among them."""
    surplus = max(len(rows) - size.height, 0)
    shown = [clip(row, size.width - 1) for row in rows[surplus:]] or [""]
    return shown, CursorPlace(max(cursor.row - surplus, 0), min(cursor.column, size.width - 1))


def _committed(rows: Iterable[str]) -> str:
    return WRAP_ON + "".join(f"{row}{RESET}\r\n" for row in rows)


def _fresh(rows: Iterable[str]) -> str:
    return "\r\n".join(f"{row}{RESET}" for row in rows)


def _move(start: CursorPlace, end: CursorPlace) -> str:
    """Move the cursor. The column it starts in does not matter.

    Down by line feeds: where the window was just made lower, the rows below the cursor are gone.
    """
    column = f"\x1b[{end.column}C" if end.column else ""
    down = "\n" * (end.row - start.row)
    return f"{_up(start.row - end.row)}{down}\r{column}"


def _up(count: int) -> str:
    return f"\x1b[{count}A" if count > 0 else ""
