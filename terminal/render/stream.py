"""Streamed Markdown, cut into rows that are final and rows that may still change.

A block ends at an empty line outside fenced code. The rows of a long paragraph or bullet list are final before it ends,
except the last ones; those of a table or a numbered list are not, because later rows change the width of earlier ones,
nor are those of a quote, whose bars are not part of its text.
Each line of fenced code is final when it ends.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ml_intern.terminal.display.rows import ink, skip

FENCES = ("```", "~~~")
CHANGING = re.compile(r"\s*(\||>|\d+[.)]\s)")
OPEN_ROWS = 4
"""The last rows of an unfinished block, which may still change."""


@dataclass(frozen=True)
class Piece:
    """A part of a reply: a block of Markdown, or a line of fenced code in a language."""

    kind: Literal["text", "code"]
    source: str
    language: str = ""
    first: bool = False
    """Whether it is the first line of its code."""


Render = Callable[[Piece, int], list[str]]
"""Return the rows of a piece at a width."""


class ReplyStream:
    """Collects the chunks of a reply. `take` returns the rows that are final, once; `open` those that follow them."""

    def __init__(self, render: Render, *, after_reply: bool = False) -> None:
        self._render = render
        self._finished: list[Piece] = []
        self._block: list[str] = []
        self._line = ""
        self._fence = ""
        self._language = ""
        self._code_line = 0
        self._taken = 0
        """Characters of the open block that were taken, spaces not counted."""
        self._began = after_reply
        """Whether an empty row comes before the next block."""
        self._cached: tuple[str, int, list[str]] = ("", 0, [])

    def feed(self, text: str) -> None:
        """Add a chunk."""
        *complete, self._line = (self._line + text).split("\n")
        for line in complete:
            self._add(line)

    def end(self) -> None:
        """Finish the reply: everything in it is final."""
        if self._line:
            self._add(self._line)
        self._close_block()
        self._line, self._fence = "", ""

    def take(self, width: int, room: int) -> list[str]:
        """Return the rows that became final. Rows of an open block are taken early if it has more than `room` rows."""
        rows = [row for piece in self._finished for row in self._rows(piece, width)]
        self._finished.clear()
        open_rows = self.open(width)
        if len(open_rows) > max(room, OPEN_ROWS) and self._settles:
            early = open_rows[:-OPEN_ROWS]
            self._taken += sum(map(ink, early))
            rows += early if self._began else _without_gap(early)
            self._began = True
        return rows

    def open(self, width: int) -> list[str]:
        """Return the rows that may still change."""
        source = "\n".join([*self._block, self._line])
        if self._fence:
            return self._of_code(self._line, width) if self._line else []
        if not source.strip():
            return []
        if self._cached[:2] != (source, width):
            self._cached = (source, width, self._render(Piece("text", source), width))
        rows = skip(self._cached[2], self._taken)
        return rows if self._taken else ["", *rows]

    @property
    def _settles(self) -> bool:
        return not self._fence and not CHANGING.match(next(iter(self._block), self._line))

    def _rows(self, piece: Piece, width: int) -> list[str]:
        rows = self._render(piece, width)
        if piece.kind == "text":
            rows = skip(rows, self._taken) if self._taken else ["", *rows]
            self._taken = 0
        elif piece.first:
            rows = ["", *rows]
        began, self._began = self._began, True
        return rows if began else _without_gap(rows)

    def _of_code(self, line: str, width: int) -> list[str]:
        return self._render(Piece("code", line, self._language), width)

    def _add(self, line: str) -> None:
        start = line.lstrip()[:3]
        if self._fence:
            self._in_fence(line, start)
        elif start in FENCES and "`" not in line.lstrip()[3:].lstrip("`"):
            self._close_block()
            self._fence, self._language, self._code_line = start, line.strip().strip("`~ "), 0
        elif line.strip():
            self._block.append(line)
        else:
            self._close_block()

    def _in_fence(self, line: str, start: str) -> None:
        if start == self._fence and not line.strip().strip(start[0]):
            self._fence = ""
        else:
            self._finished.append(Piece("code", line, self._language, first=not self._code_line))
            self._code_line += 1

    def _close_block(self) -> None:
        if self._block:
            self._finished.append(Piece("text", "\n".join(self._block)))
        self._block = []


def _without_gap(rows: list[str]) -> list[str]:
    return rows[1:] if rows and not rows[0] else rows


def reply_rows(text: str, width: int, render: Render) -> list[str]:
    """Return the rows of a whole reply, as its stream would give them."""
    stream = ReplyStream(render)
    stream.feed(text)
    stream.end()
    return stream.take(width, 0)
