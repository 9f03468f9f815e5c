"""Parse durations such as 90s, 10m and 1h30m."""

import re

DURATION_FORMS = "use seconds, or a form such as 90s, 10m, 1h30m"
_UNIT_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(duration: str) -> float:
    """Return the seconds of a bare number, or of numbers with the units s, m, h, d. Raises ValueError."""
    text = duration.strip().lower()
    if not re.fullmatch(r"\d+(\.\d+)?|(\d+(\.\d+)?[smhd])+", text):
        raise ValueError(f"{duration!r} is not a valid duration")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in re.findall(r"([\d.]+)([smhd]?)", text))
