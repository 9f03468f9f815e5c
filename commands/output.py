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


def print_json(value: Any) -> int:
    """Print the value and return the exit code of success."""
    _print(json.dumps(value, ensure_ascii=False, indent=2, default=str))
    return 0


def print_lines(lines: Iterable[str]) -> int:
    """Print the lines and return the exit code of success."""
    for line in lines:
        _print(visible(line))
    return 0


def columns(rows: Sequence[Sequence[str]], indent: int = 0) -> list[str]:
    """Format rows as aligned columns of whole values. On a terminal the lines are as wide as it is, less `indent`."""
    from ml_intern.terminal.render.columns import value_lines  # it imports rich, which --help does not need

    return value_lines(rows, max(_room() - indent, 0))


def fitted_columns(rows: Sequence[Sequence[str]], drop: Sequence[str] = ()) -> list[str]:
    """Format a heading and items as one line each. On a terminal no line is wider than it.

    For that the widest columns are cut, and those with the headings in `drop` are left out, in this order.
    """
    from ml_intern.terminal.render.columns import item_lines

    return item_lines(rows, _room(), drop)


def _room() -> int:
    """Return the width of the terminal; 0 if the output is not one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def local_time(epoch: float) -> str:
    """Format seconds since the epoch as local date and time."""
    return datetime.fromtimestamp(epoch).astimezone().strftime("%Y-%m-%d %H:%M")


def _print(text: str) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    print(text)
