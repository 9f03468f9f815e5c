"""A chart of metrics as an image: one panel per metric, one line per run. Imports Pillow, which is an extra."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

from PIL import Image, ImageDraw, ImageFont

from ml_intern.text.formatting import plural

Points = Sequence[tuple[float, float]]
Series = Mapping[str, Points]
"""Run -> points (step, value)."""
WIDTH, PANEL, HEAD = 960, 380, 56
LEFT, RIGHT, TOP, BOTTOM = 96, 24, 40, 56
TICKS = 5
LEGEND_LINE, LEGEND_NAME, MAX_LEGEND = 20, 100, 12
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2")
INK, QUIET, GRID = "#1f2328", "#59636e", "#e1e4e8"
X_LABEL = "step"
_UNITS = {
    "seconds": "s", "sec": "s", "runtime": "s", "latency": "s", "ms": "ms", "gb": "GB", "mb": "MB", "percent": "%",
    "pct": "%", "usd": "USD", "cost": "USD", "epoch": "epochs", "epochs": "epochs",
}  # fmt: skip


def unit_of(metric: str) -> str:
    """Return the unit that a metric's name states, such as "s" or "tokens/s"; "" when it states none."""
    words = metric.lower().replace("/", "_").replace("-", "_").split("_")
    if words[-2:] == ["per", "second"]:
        return f"{words[-3]}/s" if len(words) > 2 else "1/s"
    return _UNITS.get(words[-1], "")


def draw(panels: Mapping[str, Series], title: str) -> Image.Image:
    """Return the image of metrics (name -> run -> points). Values that are not finite are left out."""
    runs = dict.fromkeys(run for series in panels.values() for run in series)
    colours = dict(zip(runs, cycle(COLOURS), strict=False))
    top = HEAD + LEGEND_LINE * min(len(runs), MAX_LEGEND + 1)
    image = Image.new("RGB", (WIDTH, top + PANEL * max(len(panels), 1)), "white")
    pen = ImageDraw.Draw(image)
    pen.text((LEFT, 14), _plain(title)[:100], fill=INK, font=ImageFont.load_default(18))
    _legend(pen, colours)
    for place, (name, series) in enumerate(panels.items()):
        _panel(image, top + place * PANEL, name, series, colours)
    return image


def _panel(image: Image.Image, top: int, name: str, runs: Series, colours: Mapping[str, str]) -> None:
    pen = ImageDraw.Draw(image)
    finite = {run: sorted(p for p in points if all(map(math.isfinite, p))) for run, points in runs.items()}
    every = [point for points in finite.values() for point in points]
    pen.text((LEFT, top + 10), _plain(name), fill=INK, font=ImageFont.load_default(15))
    if not every:
        pen.text((LEFT, top + PANEL // 2), "no finite values", fill=QUIET, font=ImageFont.load_default(13))
        return
    across = _Scale(min(x for x, _ in every), max(x for x, _ in every), LEFT, WIDTH - RIGHT)
    up = _Scale(min(y for _, y in every), max(y for _, y in every), top + PANEL - BOTTOM, top + TOP)
    _axes(image, across, up, name)
    for run, points in finite.items():
        _curve(pen, [(across.at(x), up.at(y)) for x, y in points], colours[run])


def _curve(pen: ImageDraw.ImageDraw, line: Points, colour: str) -> None:
    if len(line) > 1:
        pen.line(list(line), fill=colour, width=2)
    for x, y in line if len(line) == 1 else ():
        pen.ellipse([(x - 4, y - 4), (x + 4, y + 4)], fill=colour)


class _Scale:
    """Converts values to pixels."""

    def __init__(self, low: float, high: float, first: int, last: int) -> None:
        around = (high - low) / 20 if high > low else abs(low) / 10 or 0.5
        self.low, self.high = low - around, high + around
        self.first, self.last = first, last

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Return round values for the axis: multiples of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


def _axes(image: Image.Image, across: _Scale, up: _Scale, name: str) -> None:
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for value in up.ticks():
        pen.line([(across.first, up.at(value)), (across.last, up.at(value))], fill=GRID)
        pen.text((across.first - 8, up.at(value)), f"{value:.4g}", fill=QUIET, font=font, anchor="rm")
    for value in across.ticks():
        pen.line([(across.at(value), up.first), (across.at(value), up.first + 4)], fill=INK)
        pen.text((across.at(value), up.first + 8), f"{value:.4g}", fill=QUIET, font=font, anchor="mt")
    pen.line([(across.first, up.last), (across.first, up.first), (across.last, up.first)], fill=INK)
    middle = ((across.first + across.last) // 2, up.first + 28)
    pen.text(middle, X_LABEL, fill=INK, font=ImageFont.load_default(13), anchor="mt")
    unit = unit_of(name)
    _vertical(image, f"{name} ({unit})" if unit else name, (up.first + up.last) // 2)


def _vertical(image: Image.Image, text: str, middle: int) -> None:
    """Write a label beside the vertical axis, from bottom to top."""
    label = Image.new("RGB", (PANEL - TOP - BOTTOM, 20), "white")
    place = (label.width // 2, label.height // 2)
    ImageDraw.Draw(label).text(place, _plain(text)[:40], fill=INK, font=ImageFont.load_default(13), anchor="mm")
    image.paste(label.rotate(90, expand=True), (12, middle - label.width // 2))


def _legend(pen: ImageDraw.ImageDraw, colours: Mapping[str, str]) -> None:
    """Write the names of the runs with their colours below the title, where they cover no curve."""
    font = ImageFont.load_default(12)
    for place, (run, colour) in enumerate(list(colours.items())[:MAX_LEGEND]):
        at = HEAD + LEGEND_LINE * place
        pen.line([(LEFT, at), (LEFT + 24, at)], fill=colour, width=3)
        pen.text((LEFT + 32, at), _plain(run)[:LEGEND_NAME], fill=INK, font=font, anchor="lm")
    if (more := len(colours) - MAX_LEGEND) > 0:
        at = HEAD + LEGEND_LINE * MAX_LEGEND
        pen.text((LEFT + 32, at), f"and {plural(more, 'more run')}", fill=QUIET, font=font, anchor="lm")


def _plain(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")
