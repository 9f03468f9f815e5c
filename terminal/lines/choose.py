"""Whether a terminal gets lines instead of a screen."""

from collections.abc import Mapping

WITHOUT_CURSOR = ("", "dumb", "unknown")
"""Values of TERM of terminals that cannot move their cursor, or say nothing about it."""
MOVES = ("cuu1", "cup")
"""The abilities to move the cursor, in terminfo."""


def needs_lines(environ: Mapping[str, str]) -> bool:
    """Return whether the terminal cannot move its cursor. One that terminfo does not know can."""
    term = environ.get("TERM", "")
    if term in WITHOUT_CURSOR:
        return True
    try:
        import curses
    except ImportError:  # an optional part of Python
        return False
    try:
        curses.setupterm(term, 1)
    except curses.error:
        return False
    return not any(curses.tigetstr(ability) for ability in MOVES)
