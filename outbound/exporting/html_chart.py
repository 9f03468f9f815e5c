"""A metric by step as an SVG in the colours of the page."""

import math
from collections.abc import Sequence

from ml_intern.outbound.exporting.html_code import safe

WIDTH, HEIGHT = 320, 130
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 20
MAX_POINTS = 400
Points = Sequence[Sequence[float]]


def chart(name: str, points: Points, dots: Points = (), axis: str = "step") -> str:
    """Return the curve with its range, or a line of text if it has fewer than two finite points.

    `dots` are points beside the curve. `axis` is the name of what the curve is over.
    """
    finite, beside = _finite(points), _finite(dots)
    if len(finite) < 2:
        value = f"{finite[0][1]:.4g}" if finite else "no finite value"
        return f'<p class="metric">{safe(name)}: {value}</p>'
    thinned = [*finite[:: max(len(finite) // MAX_POINTS, 1)], finite[-1]]
    (x0, x1), (y0, y1) = (_range([point[at] for point in (*finite, *beside)]) for at in (0, 1))
    across, up = (WIDTH - LEFT - RIGHT) / (x1 - x0), (HEIGHT - TOP - BOTTOM) / (y1 - y0)
    placed, circles = (
        [(f"{LEFT + (x - x0) * across:.1f}", f"{HEIGHT - BOTTOM - (y - y0) * up:.1f}") for x, y in some]
        for some in (thinned, beside)
    )
    line = " ".join(f"{x},{y}" for x, y in placed)
    dotted = "".join(f'<circle cx="{x}" cy="{y}" r="2"/>' for x, y in circles)
    label = safe(f"{name}: {finite[0][1]:.4g} to {finite[-1][1]:.4g}")
    return (
        f'<figure><svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f'{_rule(TOP, y1)}{_rule(HEIGHT - BOTTOM, y0)}{dotted}<polyline points="{line}"/>'
        f'<text x="{LEFT}" y="{HEIGHT - 5}">{x0:.4g}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end">{axis} {x1:.4g}</text></svg>'
        f"<figcaption>{label}</figcaption></figure>"
    )


def _finite(points: Points) -> list[tuple[float, float]]:
    """Return the finite points by x, those of one x in the given order."""
    finite = ((float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y))
    return sorted(finite, key=lambda point: point[0])


def _rule(y: float, value: float) -> str:
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    return f'{line}<text x="{LEFT - 4}" y="{y + 4}" text-anchor="end">{value:.3g}</text>'


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
