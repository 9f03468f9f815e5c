"""A diff as rows, with colours and line numbers, read from a unified diff or made from the lines of a new file."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ml_intern.terminal.blocks.spans import Line, Span, paint, span, wrap
from ml_intern.terminal.theme import Style, Theme
from ml_intern.text.formatting import and_more

_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)$")
MIN_NUMBERED = 30
"""Width below which line numbers are left out."""


@dataclass(frozen=True)
class DiffLine:
    """One line of a diff; `number` is its number in the file after the change, or before it for a removed line."""

    kind: Literal["added", "removed", "same", "gap", "note", "plain"]
    text: str
    number: int | None = None


def parse_diff(text: str) -> list[DiffLine]:
    """Return the lines of a unified diff, without the names of the files. Lines outside a hunk are notes."""
    found: list[DiffLine] = []
    before = after = 0
    in_hunk = False
    for line in text.split("\n"):
        if hunk := _HUNK.match(line):
            before, after = int(hunk[1]), int(hunk[2])
            found += [DiffLine("gap", hunk[3])] if in_hunk or hunk[3] else []
            in_hunk = True
        elif in_hunk and line[:1] in ("+", "-", " "):
            found.append(_numbered(line, before, after))
            before += line[:1] != "+"
            after += line[:1] != "-"
        elif line and not line.startswith(("--- ", "+++ ", "\\ ")):
            found.append(DiffLine("note", line))
    return found


def _numbered(line: str, before: int, after: int) -> DiffLine:
    mark, text = line[:1], line[1:]
    if mark == "-":
        return DiffLine("removed", text, before)
    return DiffLine("added" if mark == "+" else "same", text, after)


def new_file(content: str) -> list[DiffLine]:
    """Return the lines of a file that is created."""
    return [DiffLine("added", line, number) for number, line in enumerate(content.splitlines(), start=1)]


def change_counts(lines: Iterable[DiffLine]) -> tuple[int, int]:
    """Return how many lines are added and removed."""
    kinds = [line.kind for line in lines]
    return kinds.count("added"), kinds.count("removed")


_MARKS = {"added": "+", "removed": "-"}
_STYLES: dict[str, Style] = {
    "added": "added",
    "removed": "removed",
    "same": "dim",
    "gap": "location",
    "note": "dim",
    "plain": "plain",
}


def diff_rows(lines: Sequence[DiffLine], width: int, theme: Theme, limit: int | None = None) -> list[str]:
    """Return the rows of a diff. Of more than `limit` lines the first are shown, with the number of the others."""
    shown = lines if limit is None or len(lines) <= limit else lines[:limit]
    digits = max((len(str(line.number)) for line in shown if line.number), default=0) if width >= MIN_NUMBERED else 0
    rows = [paint(part, theme) for line in shown for part in _wrapped(line, width, digits, theme)]
    if rest := and_more(len(lines), len(shown), "line").removeprefix("and "):
        rows.append(paint([Span(f"{theme.glyph('more')} {rest}", "hint")], theme))
    return rows


def _wrapped(line: DiffLine, width: int, digits: int, theme: Theme) -> list[Line]:
    style = _STYLES[line.kind]
    if line.kind in ("gap", "note", "plain"):
        text = f"{theme.glyph('more')} {line.text}".strip() if line.kind == "gap" else line.text
        return wrap((span(text, style),), width)
    number = f"{line.number or '':>{digits}} " if digits else ""
    first = (Span(number, "dim"), Span(f"{_MARKS.get(line.kind, ' ')} ", style))
    return wrap((span(line.text, style),), width, first, (Span(" " * (len(number) + 2)),))
