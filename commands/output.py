"""Output of the subcommands: aligned columns, or JSON with --json. Control characters are made visible."""

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from ml_intern.terminal.render.summary import size as size
from ml_intern.text.visible import visible

Json = Annotated[bool, typer.Option("--json", help="print one JSON value instead of text")]
"""The option --json of a subcommand that shows something."""
WHOLE_COLUMN, MIN_COLUMN = 16, 8
"""Width of a column that is never cut, such as ids and times, and to which the others are cut at most."""


def print_json(value: Any) -> int:
    """Print the value and return the exit code of success."""
    _print(json.dumps(value, ensure_ascii=False, indent=2, default=str))
    return 0


def print_lines(lines: Iterable[str]) -> int:
    """Print the lines and return the exit code of success."""
    for line in lines:
        _print(visible(line))
    return 0


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format the rows as lines with aligned columns; the last column is not padded."""
    return aligned(rows, 0)


def fitted_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format the rows as `columns` does; on a terminal, the widest columns are cut so that no row is broken."""
    return aligned(rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else 0)


def aligned(rows: Sequence[Sequence[str]], room: int) -> list[str]:
    """Format the rows as lines of at most `room` characters, if they can be cut to it; 0: of any length."""
    flat = [[visible(" ".join(cell.split())) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*flat, strict=True)]
    wide = [place for place, width in enumerate(widths) if width > WHOLE_COLUMN]
    while room and wide and sum(widths) + 2 * (len(widths) - 1) > room:
        widest = max(wide, key=lambda place: widths[place])
        if widths[widest] <= MIN_COLUMN:
            break
        widths[widest] -= 1
    return ["  ".join(map(_cell, row, widths)).rstrip() for row in flat]


def _cell(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"


def local_time(epoch: float) -> str:
    """Format seconds since the epoch as local date and time."""
    return datetime.fromtimestamp(epoch).astimezone().strftime("%Y-%m-%d %H:%M")


def _print(text: str) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    print(text)
