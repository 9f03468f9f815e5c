"""A curve of a few rows: points, and the best of them so far."""

from collections.abc import Sequence
from itertools import pairwise

from ml_intern.terminal.blocks.spans import Span, paint
from ml_intern.terminal.theme import Theme

Points = Sequence[tuple[float, float]]


def plot(steps: Points, dots: Points, width: int, height: int, theme: Theme) -> list[str]:
    """Return the rows of a curve of steps with dots beside it, the highest value above; [] without room or values.

    Before the first and the last row are the largest and the smallest value.
    """
    values = [value for _, value in (*steps, *dots)]
    if not values or height < 2:
        return []
    low, high = min(values), max(values)
    labels = [f"{high:.4g}", f"{low:.4g}"]
    room = width - max(map(len, labels)) - 1
    if room < 2:
        return []
    last = max(x for x, _ in (*steps, *dots)) or 1.0
    grid = [[Span(" ")] * room for _ in range(height)]
    for x, value in _filled(steps, last, room):
        grid[_row(value, low, high, height)][x] = Span(theme.glyph("rule"), "success")
    for at, value in dots:
        grid[_row(value, low, high, height)][round(at / last * (room - 1))] = Span(theme.glyph("bullet"), "dim")
    ends = {0: labels[0], height - 1: labels[1]}
    before = max(map(len, labels))
    return [paint([Span(f"{ends.get(at, ''):>{before}} ", "dim"), *row], theme) for at, row in enumerate(grid)]


def _row(value: float, low: float, high: float, height: int) -> int:
    return height - 1 - round((value - low) / (high - low) * (height - 1)) if high > low else height // 2


def _filled(steps: Points, last: float, room: int) -> list[tuple[int, float]]:
    """Return the columns between the steps, each with the value that holds there."""
    placed = [(round(x / last * (room - 1)), value) for x, value in steps]
    between = [(x, value) for (x0, value), (x1, _) in pairwise(placed) for x in range(x0, x1)]
    return [*between, *placed[-1:]]
