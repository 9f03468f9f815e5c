"""Lines of styled text: break them at blanks, and paint them as rows."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ml_intern.terminal.blocks.width import cells, clean, head
from ml_intern.terminal.theme import Style, Theme


class Span(NamedTuple):
    """A piece of a line in one style. Its text is clean."""

    text: str
    style: Style = "plain"


Line = tuple[Span, ...]


def span(text: str, style: Style = "plain") -> Span:
    """Return a span of text from outside."""
    return Span(clean(text), style)


def paint(line: Iterable[Span], theme: Theme) -> str:
    """Return a line as a row, without blanks at its end."""
    row = _joined(line)
    _strip(row)
    return "".join(theme.paint(style, text) for text, style in row)


def _joined(line: Iterable[Span]) -> list[Span]:
    """Join neighbours of one style."""
    found: list[Span] = []
    for one in line:
        if found and found[-1].style == one.style:
            found[-1] = Span(found[-1].text + one.text, one.style)
        elif one.text:
            found.append(one)
    return found


def width_of(line: Iterable[Span]) -> int:
    """Return the width of a line in cells."""
    return sum(cells(one.text) for one in line)


def wrap(line: Sequence[Span], width: int, first: Line = (), rest: Line = ()) -> list[Line]:
    """Break a line at blanks into lines of at most `width` cells; a longer word is broken where it must be.

    `first` begins the first line and `rest` the others.
    """
    room = max(width - max(width_of(first), width_of(rest)), 1)
    broken = _broken(line, room)
    return [(*(rest if number else first), *part) for number, part in enumerate(broken)]


def _broken(line: Sequence[Span], room: int) -> list[Line]:
    rows: list[list[Span]] = [[]]
    used = 0
    for word in _words(line):
        size = width_of(word)
        if used and used + size > room:
            _strip(rows[-1])
            rows.append([])
            used = 0
            if not "".join(one.text for one in word).strip():
                continue
        for piece in _pieces(word, room):
            if used and used + width_of(piece) > room:
                rows.append([])
                used = 0
            rows[-1] += piece
            used += width_of(piece)
    return [tuple(row) for row in rows]


def _words(line: Sequence[Span]) -> list[list[Span]]:
    """Split a line where it may be broken: at blanks, and around wide characters. A word may have several styles."""
    words: list[list[Span]] = []
    before = ""
    for text, style in line:
        for piece, kind in _runs(text):
            if kind != before or kind != "word":
                words.append([])
            words[-1].append(Span(piece, style))
            before = kind
    return words


def _runs(text: str) -> list[tuple[str, str]]:
    """Split text into blanks, wide characters one by one, and runs of other characters."""
    runs: list[tuple[str, str]] = []
    for character in text:
        kind = "blank" if character == " " else "wide" if cells(character) > 1 else "word"
        if runs and kind != "wide" and runs[-1][1] == kind:
            runs[-1] = (runs[-1][0] + character, kind)
        else:
            runs.append((character, kind))
    return runs


def _pieces(word: Sequence[Span], room: int) -> list[list[Span]]:
    """Return a word, or the parts of one that is wider than a line."""
    if width_of(word) <= room:
        return [list(word)]
    pieces: list[list[Span]] = []
    for text, style in word:
        left = text
        while left:
            part = head(left, room) or left[0]
            pieces.append([Span(part, style)])
            left = left[len(part) :]
    return pieces


def _strip(row: list[Span]) -> None:
    while row and not row[-1].text.strip(" "):
        row.pop()
    if row:
        row[-1] = Span(row[-1].text.rstrip(" "), row[-1].style)
