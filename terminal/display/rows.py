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


def _lines(rest: list[Cell], width: int) -> Iterator[list[Cell]]:
    while rest:
        end = _fitting(rest, width)
        if end < len(rest):
            spaces = [place for place in range(1, end + 1) if rest[place].text == " "]
            end = spaces[-1] if spaces and any(cell.text != " " for cell in rest[: spaces[-1]]) else end
        yield rest[:end]
        rest = rest[end:]
        while rest and rest[0].text == " ":
            rest = rest[1:]


def _fitting(line: list[Cell], width: int) -> int:
    """Return the number of cells that fit, at least one."""
    used = 0
    for place, cell in enumerate(line):
        used += cell.width
        if used > width:
            return max(place, 1)
    return len(line)


def _joined(line: list[Cell]) -> str:
    out, style = list[str](), ""
    for cell in line:
        if cell.style != style:
            out.append((RESET if style else "") + cell.style)
            style = cell.style
        out.append(cell.text)
    return "".join(out) + (RESET if style else "")
