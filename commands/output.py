"""Output of the subcommands: aligned columns, or JSON with --json. Control characters are made visible."""

import json
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
    flat = [[visible(" ".join(cell.split())) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*flat, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in flat]


def local_time(epoch: float) -> str:
    """Format seconds since the epoch as local date and time."""
    return datetime.fromtimestamp(epoch).astimezone().strftime("%Y-%m-%d %H:%M")


def _print(text: str) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    print(text)
