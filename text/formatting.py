"""Money, counts, sizes, days, durations and shortened lists, formatted for people."""

import math
from collections.abc import Sequence
from datetime import datetime

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def money(usd: float | None) -> str:
    """Format US dollars, None as unknown. Cents from $0.10 on, else three digits: only 0 is shown as $0.00."""
    if usd is None:
        return "cost unknown"
    if usd == 0 or abs(usd) >= 0.1:
        return f"${usd:,.2f}"
    digits = f"{usd:.{2 - math.floor(math.log10(abs(usd)))}f}".rstrip("0")
    whole, _, decimals = digits.partition(".")
    return f"${whole}.{decimals:0<2}"


def spent(known_usd: float, unpriced: int) -> str:
    """Format the spending: the known part, and whether requests of unknown price come on top of it."""
    if not unpriced:
        return money(known_usd)
    return f"{money(known_usd)} + unknown" if known_usd else money(None)


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
    return plural(number, "byte") if unit == 0 else f"{amount:.3g} {_UNITS[unit]}"


def day(when: datetime | None) -> str:
    """Format the date as YYYY-MM-DD, or "" when it is unknown."""
    return f"{when:%Y-%m-%d}" if when else ""


def duration(seconds: float) -> str:
    """Format seconds as 4.2 s, 3 min 20 s, 5 min or 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def plural(number: int, noun: str) -> str:
    """Format a number of things: 1 turn, 2 turns, 1,234 processes, 2 retries."""
    return f"{number:,} {noun if number == 1 else _plural_of(noun)}"


def _plural_of(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    hissing = noun.endswith(("s", "x", "ch", "sh")) and not noun.endswith("epoch")
    return f"{noun}es" if hissing else f"{noun}s"


def and_more(total: int, shown: int, noun: str = "") -> str:
    """Say how many of `total` things are not shown: "and 3 more", "and 1 more file". "" when all are shown."""
    left = total - shown
    if left <= 0:
        return ""
    return f"and {left:,} more" + (f" {plural(left, noun).partition(' ')[2]}" if noun else "")


def listed(names: Sequence[str], limit: int, separator: str = ", ", noun: str = "") -> str:
    """Join names; of more than `limit` only the first ones, with the number of the others: "a, b and 3 more"."""
    return " ".join(filter(None, [separator.join(names[:limit]), and_more(len(names), limit, noun)]))


def capped(lines: Sequence[str], limit: int, noun: str = "") -> list[str]:
    """Return the lines; of more than `limit` only the first ones, then one such as "[3 more]"."""
    rest = and_more(len(lines), limit, noun).removeprefix("and ")
    return [*lines[:limit], *([f"[{rest}]"] if rest else [])]


def table_cell(text: str) -> str:
    """Return a text as one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
