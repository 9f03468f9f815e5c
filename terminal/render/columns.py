"""Tables of the subcommands as lines: one line per item, or whole values that are broken at words."""

from collections.abc import Sequence

from ml_intern.terminal.blocks.width import cells, cut
from ml_intern.terminal.display.rows import wrap
from ml_intern.text.visible import visible

Rows = Sequence[Sequence[str]]
GAP = 2
WHOLE_COLUMN, MIN_COLUMN = 16, 6
"""Widest column that is cut only where nothing else helps, and the least width of one that is cut."""


def item_lines(rows: Rows, room: int, drop: Sequence[str] = ()) -> list[str]:
    """Format a heading and items as one line each, of at most `room` cells; 0: of any length.

    The widest columns are cut. Where that is not enough, the columns with the headings in `drop` are left out, in
    this order, and then narrow columns are cut too.
    """
    flat = _flat(rows)
    for name in [*drop, ""]:
        widths = _narrowed(flat, room, [WHOLE_COLUMN] * len(flat[0]))
        if _fits(widths, room) or not name:
            break
        at = flat[0].index(name)
        flat = [[*row[:at], *row[at + 1 :]] for row in flat]
    widths = widths if _fits(widths, room) else _narrowed(flat, room, [MIN_COLUMN] * len(flat[0]))
    return [_line([cut(cell, width) for cell, width in zip(row, widths, strict=True)], widths) for row in flat]


def value_lines(rows: Rows, room: int) -> list[str]:
    """Format rows whose values are read whole, in lines of at most `room` cells; 0: of any length.

    They are broken at words. Where a word does not fit beside the other columns, each row is written one value below
    the other. No word is broken.
    """
    flat = _flat(rows)
    widths = _narrowed(flat, room, [max(_longest_word(column), 1) for column in zip(*flat, strict=True)])
    if _fits(widths, room):
        return [line for row in flat for line in _side_by_side(row, widths)]
    return [line for row in flat for line in _one_below_the_other(row, room)]


def _flat(rows: Rows) -> list[list[str]]:
    return [[visible(" ".join(cell.split())) for cell in row] for row in rows]


def _narrowed(rows: Rows, room: int, least: Sequence[int]) -> list[int]:
    """Return the widths of the columns, the widest of them narrowed, each to its least width at most."""
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    while not _fits(widths, room):
        wide = [place for place, width in enumerate(widths) if width > least[place]]
        if not wide:
            break
        widths[max(wide, key=lambda place: widths[place])] -= 1
    return widths


def _fits(widths: Sequence[int], room: int) -> bool:
    return not room or sum(widths) + GAP * (len(widths) - 1) <= room


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)]
    return (" " * GAP).join(padded).rstrip()


def _longest_word(column: Sequence[str]) -> int:
    return max((cells(word) for cell in column for word in cell.split()), default=0)


def _side_by_side(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    parts = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(map(len, parts))
    return [_line([part[at] if at < len(part) else "" for part in parts], widths) for at in range(height)]


def _one_below_the_other(row: Sequence[str], room: int) -> list[str]:
    """Return a row on one line if it fits, else each value below the first."""
    first, *others = filter(None, row)
    if cells(whole := (" " * GAP).join([first, *others])) <= room:
        return [whole]
    return [*_at_words(first, room), *(f"  {line}" for text in others for line in _at_words(text, room - GAP))]


def _at_words(text: str, room: int) -> list[str]:
    """Break a text at words. A word that is longer than the room stays whole."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and cells(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
