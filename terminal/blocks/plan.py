"""The plan as a checklist, or folded into one row."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_intern.terminal.blocks.spans import Span, paint, wrap
from ml_intern.terminal.blocks.width import cells, cut, one_row
from ml_intern.terminal.theme import Glyph, Style, Theme

Steps = Sequence[Mapping[str, Any]]
_MARKS: Mapping[str, tuple[Glyph, Style]] = {
    "done": ("success", "dim"),
    "dropped": ("rejected", "dim"),
    "in_progress": ("running", "bold"),
    "pending": ("pending", "plain"),
}


def plan_rows(steps: Steps, width: int, theme: Theme, *, folded: bool = False, limit: int | None = None) -> list[str]:
    """Return the rows of a plan. `limit` is the largest number of steps to show, around the current one."""
    if not steps:
        return []
    if folded:
        return [_folded(steps, width, theme)]
    shown = _around_current(steps, limit)
    rows = [row for step in steps[shown.start : shown.stop] for row in _step(step, width, theme)]
    above, below = shown.start, len(steps) - shown.stop
    return [*_more(above, "above", width, theme), *rows, *_more(below, "below", width, theme)]


def progress(steps: Steps) -> str:
    """Return how much of a plan is done, such as 2/5."""
    counted = [step for step in steps if step["status"] != "dropped"]
    return f"{sum(step['status'] == 'done' for step in counted)}/{len(counted)}"


def _step(step: Mapping[str, Any], width: int, theme: Theme) -> list[str]:
    glyph, style = _MARKS.get(step["status"], ("pending", "plain"))
    mark = theme.glyph(glyph)
    mark_style: Style = "success" if step["status"] == "done" else "accent" if style == "bold" else style
    text = (Span(one_row(step["text"]), style),)
    return [paint(row, theme) for row in wrap(text, width, (Span(f"{mark} ", mark_style),), (Span("  "),))]


def _folded(steps: Steps, width: int, theme: Theme) -> str:
    current = next((step["text"] for step in steps if step["status"] == "in_progress"), "")
    mark, head = f"{theme.glyph('running')} ", f"plan {progress(steps)}"
    text = cut(f": {one_row(current)}" if current else "", max(width - cells(mark + head), 0))
    return paint([Span(mark, "accent"), Span(head, "bold"), Span(text)], theme)


def _around_current(steps: Steps, limit: int | None) -> range:
    if limit is None or len(steps) <= limit:
        return range(len(steps))
    current = next((place for place, step in enumerate(steps) if step["status"] not in ("done", "dropped")), 0)
    first = min(max(current - 1, 0), len(steps) - limit)
    return range(first, first + limit)


def _more(count: int, where: str, width: int, theme: Theme) -> list[str]:
    return [theme.paint("hint", cut(f"  {theme.glyph('more')} {count} {where}", width))] if count else []
