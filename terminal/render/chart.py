"""A chart of metrics as a picture: one panel a metric, one line a run. Imports Pillow, which is an extra."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 900, 320
LEFT, RIGHT, TOP, BOTTOM = 90, 20, 40, 36
TICKS = 5
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2")


def draw(panels: Mapping[str, Mapping[str, Points]]) -> Image.Image:
    """The picture of metrics: name -> run -> points (step, value). What is not finite is left out."""
    picture = Image.new("RGB", (WIDTH, HEIGHT * max(len(panels), 1)), "white")
    pen = ImageDraw.Draw(picture)
    for place, (name, runs) in enumerate(panels.items()):
        _panel(pen, place * HEIGHT, name, runs)
    return picture


def _panel(pen: ImageDraw.ImageDraw, top: int, name: str, runs: Mapping[str, Points]) -> None:
    finite = {run: [p for p in points if all(map(math.isfinite, p))] for run, points in runs.items()}
    every = [point for points in finite.values() for point in points]
    font = ImageFont.load_default(14)
    pen.text((LEFT, top + 6), _plain(name), fill="black", font=font)
    if not every:
        pen.text((LEFT, top + HEIGHT // 2), "no finite values", fill="gray", font=font)
        return
    across = _Scale(min(x for x, _ in every), max(x for x, _ in every), LEFT, WIDTH - RIGHT)
    up = _Scale(min(y for _, y in every), max(y for _, y in every), top + HEIGHT - BOTTOM, top + TOP)
    _axes(pen, across, up)
    for place, (colour, (run, points)) in enumerate(zip(cycle(COLOURS), finite.items(), strict=False)):
        line = [(across.at(x), up.at(y)) for x, y in sorted(points)]
        pen.line(line, fill=colour, width=2) if len(line) > 1 else _dot(pen, line[0], colour) if line else None
        pen.text((WIDTH - 250, top + 6 + 16 * place), _plain(run)[:30], fill=colour, font=font)


def _dot(pen: ImageDraw.ImageDraw, at: tuple[float, float], colour: str) -> None:
    x, y = at
    pen.ellipse([(x - 4, y - 4), (x + 4, y + 4)], fill=colour)


class _Scale:
    """Values to pixels."""

    def __init__(self, low: float, high: float, first: int, last: int) -> None:
        around = 0.0 if high > low else abs(low) / 10 or 0.5
        self.low, self.high = low - around, high + around
        self.first, self.last = first, last

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Values to write at the axis."""
        return [self.low + (self.high - self.low) * step / TICKS for step in range(TICKS + 1)]


def _axes(pen: ImageDraw.ImageDraw, across: _Scale, up: _Scale) -> None:
    font = ImageFont.load_default(11)
    for value in up.ticks():
        pen.line([(across.first, up.at(value)), (across.last, up.at(value))], fill="#dddddd")
        pen.text((8, up.at(value) - 6), f"{value:.4g}", fill="gray", font=font)
    for value in across.ticks():
        pen.text((across.at(value) - 10, up.first + 8), f"{value:.4g}", fill="gray", font=font)
    pen.line([(across.first, up.last), (across.first, up.first), (across.last, up.first)], fill="black")


def _plain(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")
