"""The clients of a session, as every interface names the one that answered an approval."""

from typing import Final

_PLACES: Final = {
    "web": "from the web page",
    "terminal": "from a terminal",
    "approve": "with ml-intern approve",
    "python": "by a Python program",
    "api": "by another program",
}
"""How clients of ml-intern itself answer, by the name that they give."""


def answered_from(by: str) -> str:
    """Return where an answer came from, such as "from the web page". `by` is the name that the client gave, or ""."""
    return _PLACES.get(by, f"by {by}" if by else "by another client")
