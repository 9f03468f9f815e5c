"""Counts, sizes and days as the tools of the Hub write them."""

from datetime import datetime

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def count(number: int) -> str:
    """Format a count: 1,234 as it is, 1234567 as 1.23M."""
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if number >= limit:
            return f"{number / {'G': 1e9, 'M': 1e6, 'k': 1e3}[unit]:.3g}{unit}"
    return f"{number:,}"


def size(number: int) -> str:
    """Format a number of bytes in the largest fitting decimal unit, such as 3.4 MB."""
    amount, unit = float(number), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{number:,} bytes" if unit == 0 else f"{amount:.3g} {_UNITS[unit]}"


def day(when: datetime | None) -> str:
    """Format the date as YYYY-MM-DD, or "" when it is unknown."""
    return f"{when:%Y-%m-%d}" if when else ""


def duration(seconds: float) -> str:
    """Format seconds as 4.2 s, 3 min 20 s or 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
