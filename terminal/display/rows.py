"""Rows of the terminal: text with colours that never moves the cursor. Width in cells, clipping, wrapping."""

from collections.abc import Iterator
from typing import NamedTuple

from ml_intern.terminal.blocks.width import SGR, cells, character_cells

RESET = "\x1b[m"
_RESETS = (RESET, "\x1b[0m")
JOINERS = str.maketrans({"\ufe0e": None, "\ufe0f": None, "\u200d": None})
"""Variation selectors and the joiner of emoji: terminals disagree about the width of what they change."""


class Cell(NamedTuple):
    """One character, its width, and the colours in force before it."""

    text: str
    width: int
    style: str


def plain(row: str) -> str:
    """Return a row without its colours."""
    return SGR.sub("", row)


def clip(row: str, width: int) -> str:
    """Cut a row to `width` cells; an ellipsis marks the cut."""
    row = row.translate(JOINERS)
    if cells(row) <= width:
        return row
    kept, used = list[Cell](), 0
    for cell in _cells(row):
        if used + cell.width > width - 1:
            break
        kept.append(cell)
        used += cell.width
    return _joined(kept) + "…" * (width > 0)


def wrap(row: str, width: int) -> list[str]:
    """Break a row into rows of at most `width` cells, at spaces where possible. Spaces at a break are dropped."""
    if cells(row) <= width:
        return [row]
    return [_joined(line) for line in _lines(list(_cells(row)), max(width, 2))]


def skip(rows: list[str], count: int) -> list[str]:
    """Return what follows the first `count` characters of the rows, spaces not counted. A row keeps its indent."""
    for number, row in enumerate(rows):
        inked = ink(row)
        if count < inked:
            return [_indent(row) + _after(row, count), *rows[number + 1 :]] if count else rows[number:]
        count -= inked
    return []


def ink(row: str) -> int:
    """Return the number of characters of a row, spaces not counted."""
    return sum(not char.isspace() for char in plain(row))


def _indent(row: str) -> str:
    text = plain(row)
    return text[: len(text) - len(text.lstrip())]


def _after(row: str, count: int) -> str:
    rest = list(_cells(row))
    while rest and (count or rest[0].text.isspace()):
        count -= not rest[0].text.isspace()
        rest.pop(0)
    return _joined(rest)


def _cells(row: str) -> Iterator[Cell]:
    style, at = "", 0
    for found in [*SGR.finditer(row), None]:
        for char in row[at : found.start() if found else len(row)]:
            yield Cell(char, character_cells(char), style)
        if found:
            style = "" if found[0] in _RESETS else style + found[0]
            at = found.end()


def _lines(row: list[Cell], width: int) -> Iterator[list[Cell]]:
    start = 0
    while start < len(row):
        end = _break(row, start, _end_of_fitting(row, start, width))
        yield row[start:end]
        start = end
        while start < len(row) and row[start].text == " ":
            start += 1


def _break(row: list[Cell], start: int, end: int) -> int:
    """Return where the row from `start` ends: at the last space before `end` that has text before it, else at `end`."""
    if end == len(row):
        return end
    space = next((place for place in range(end, start, -1) if row[place].text == " "), start)
    return space if any(cell.text != " " for cell in row[start:space]) else end


def _end_of_fitting(row: list[Cell], start: int, width: int) -> int:
    """Return the end of the cells from `start` that fit, at least one."""
    used = 0
    for place in range(start, len(row)):
        used += row[place].width
        if used > width:
            return max(place, start + 1)
    return len(row)


def _joined(line: list[Cell]) -> str:
    out, style = list[str](), ""
    for cell in line:
        if cell.style != style:
            out.append((RESET if style else "") + cell.style)
            style = cell.style
        out.append(cell.text)
    return "".join(out) + (RESET if style else "")
