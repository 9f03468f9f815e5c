"""The width of text in terminal cells: measure and cut.

Widths are counted per character, which is never less than a terminal shows: terminals disagree about sequences of
emoji. Variation selectors and joiners are dropped, so that each part counts for itself.
"""

import re

from rich.cells import get_character_cell_size

from ml_intern.text.visible import visible

TAB = 8
_JOINERS = re.compile("[\u200d\ufe0e\ufe0f]")
SGR = re.compile(r"\x1b\[[\d;:]*m")


def clean(text: str) -> str:
    """Return text from outside for a row: joiners dropped, tabs as blanks, all other hidden characters visible."""
    return visible(_JOINERS.sub("", text).expandtabs(TAB))


def one_row(text: str) -> str:
    """Return text from outside on one line."""
    return clean(" ".join(text.split()))


def character_cells(character: str) -> int:
    """Return the width of one character."""
    return get_character_cell_size(character)


def cells(row: str) -> int:
    """Return the width of a row; its colours take no space."""
    plain = SGR.sub("", row) if "\x1b" in row else row
    return len(plain) if plain.isascii() else sum(map(character_cells, plain))


def cut(text: str, width: int, more: str = "…") -> str:
    """Return text without colours, shortened to `width` cells with a mark at its end."""
    if cells(text) <= width:
        return text
    marked = more if cells(more) <= width else ""
    return f"{head(text, width - cells(marked))}{marked}"


def head(text: str, width: int) -> str:
    """Return as many of the first characters as fit into `width` cells."""
    used = 0
    for at, character in enumerate(text):
        used += cells(character)
        if used > width:
            return text[:at]
    return text


def tail(text: str, width: int) -> str:
    """Return as many of the last characters as fit into `width` cells."""
    used = 0
    for at in range(len(text) - 1, -1, -1):
        used += cells(text[at])
        if used > width:
            return text[at + 1 :]
    return text
