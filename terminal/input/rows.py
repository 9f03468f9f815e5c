"""The input line and its completion menu as rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_intern.terminal.blocks.width import character_cells
from ml_intern.terminal.display.frame import CursorPlace
from ml_intern.terminal.display.rows import clip
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completion

    from ml_intern.terminal.theme import Theme

MAX_COMPLETIONS = 6
TAB = "    "


def input_rows(text: str, cursor: int, prompt: str, width: int, height: int) -> tuple[list[str], CursorPlace]:
    """Return at most `height` rows of the text around the cursor, and the place of the cursor among them."""
    lines = text.split("\n")
    at = text.count("\n", 0, cursor)
    column = cursor - (text.rfind("\n", 0, cursor) + 1)
    first = max(at - height, 0)
    rows, place = list[str](), CursorPlace(0, 0)
    for number in range(first, min(at + height + 1, len(lines))):
        broken, ends = _broken(lines[number], width - len(prompt) - 1)
        if number == at:
            row = next((row for row, end in enumerate(ends) if column < end), len(broken) - 1)
            before = lines[number][ends[row - 1] if row else 0 : column]
            place = CursorPlace(len(rows) + row, len(prompt) + sum(map(_width, before)))
        rows += broken
    start = min(max(place.row - height + 1, 0), max(len(rows) - height, 0))
    shown = [f"{prompt if not first + number + start else ' ' * len(prompt)}{row}"
             for number, row in enumerate(rows[start : start + height])]  # fmt: skip
    return shown, CursorPlace(place.row - start, place.column)


def _broken(line: str, width: int) -> tuple[list[str], list[int]]:
    """Break a line into rows of `width` cells; also return the position in the line after each row."""
    rows, ends, row, used = list[str](), list[int](), list[str](), 0
    for place, char in enumerate(line):
        needed = _width(char)
        if used + needed > max(width, 2):
            rows.append("".join(row))
            ends.append(place)
            row, used = [], 0
        row.append(_shown(char))
        used += needed
    return [*rows, "".join(row)], [*ends, len(line) + 1]


def _shown(char: str) -> str:
    if char == "\t":
        return TAB
    return char if len(visible(char)) == 1 and character_cells(char) > 0 else "·"


def _width(char: str) -> int:
    return len(TAB) if char == "\t" else max(character_cells(char), 1)


def menu_rows(completions: "Sequence[Completion]", chosen: int | None, width: int, paint: "Theme") -> list[str]:
    """Return the rows of the completion menu around the chosen entry."""
    start = min(max((chosen or 0) - MAX_COMPLETIONS + 1, 0), max(len(completions) - MAX_COMPLETIONS, 0))
    shown = completions[start : start + MAX_COMPLETIONS]
    wide = min(max((len(one.display_text) for one in shown), default=0), width // 2)
    rows = []
    for place, one in enumerate(shown, start):
        row = clip(f"  {visible(one.display_text):{wide}}  {visible(one.display_meta_text)}".rstrip(), width - 1)
        rows.append(paint("chosen", row) if place == chosen else paint("dim", row))
    return rows
