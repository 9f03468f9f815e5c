"""A Markdown table as rows: columns side by side where they fit, else one line per cell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml_intern.terminal.blocks.inline import inline_spans
from ml_intern.terminal.blocks.spans import Line, Span, paint, width_of, wrap
from ml_intern.terminal.theme import Style, Theme

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

GAP = 2
MIN_COLUMN = 8


def table_rows(node: "SyntaxTreeNode", width: int, theme: Theme) -> list[str]:
    """Return the rows of a table."""
    table = [[_cell(cell) for cell in row.children] for part in node.children for row in part.children]
    if not table:
        return []
    widths = _widths(table, width)
    return _listed(table, width, theme) if widths is None else _side_by_side(table, widths, theme)


def _cell(node: "SyntaxTreeNode") -> Line:
    """Return the text of a cell; it has one line."""
    style: Style = "bold" if node.type == "th" else "plain"
    return tuple(one for line in inline_spans(node, style) for one in line)


def _widths(table: Sequence[Sequence[Line]], width: int) -> list[int] | None:
    """Return the widths of the columns, the widest narrowed until all fit; None if they cannot."""
    widths = [min(max(map(width_of, column)), width) for column in zip(*table, strict=True)]
    room = width - GAP * (len(widths) - 1)
    while sum(widths) > room:
        widest = widths.index(max(widths))
        if widths[widest] <= MIN_COLUMN:
            return None
        widths[widest] -= 1
    return widths


def _side_by_side(table: Sequence[Sequence[Line]], widths: Sequence[int], theme: Theme) -> list[str]:
    rows: list[str] = []
    for number, cells in enumerate(table):
        columns = [wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
        for place in range(max(map(len, columns))):
            parts = [column[place] if place < len(column) else () for column in columns]
            rows.append(_aligned(parts, widths, theme))
        if number == 0:
            rows.append(theme.paint("dim", (" " * GAP).join(theme.glyph("rule") * width for width in widths)))
    return rows


def _aligned(parts: Sequence[Line], widths: Sequence[int], theme: Theme) -> str:
    """Return one row; the last column gets no blanks at its end."""
    line: list[Span] = []
    for place, (part, width) in enumerate(zip(parts, widths, strict=True)):
        line += part
        if place < len(parts) - 1:
            line.append(Span(" " * (width - width_of(part) + GAP)))
    while line and not line[-1].text.strip():
        line.pop()
    return paint(line, theme)


def _listed(table: Sequence[Sequence[Line]], width: int, theme: Theme) -> list[str]:
    """Return one line per cell with its heading, and an empty line between the rows of the table."""
    heads, *rest = table
    rows: list[str] = []
    for cells in rest:
        rows += [""] if rows else []
        for name, cell in zip(heads, cells, strict=True):
            first = (*name, Span(": ", "bold"))
            rows += [paint(part, theme) for part in wrap((*first, *cell), width, (), (Span("  "),))]
    return rows
