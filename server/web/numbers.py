"""Numbers in addresses and forms."""

from typing import Final

MAX_DIGITS: Final = 15


def whole_number(text: str) -> int | None:
    """Return the number that a text of at most MAX_DIGITS decimal digits is; None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None
