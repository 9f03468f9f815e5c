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


def answered_from(by: str, device: str = "") -> str:
    """Return where an answer came from, such as "from the web page (Chrome on Android)".

    `by` is the name that the client gave, and `device` that of the user's browser or program; both may be "".
    """
    place = _PLACES.get(by, f"by {by}" if by else "by another client")
    return f"{place} ({device})" if device else place
