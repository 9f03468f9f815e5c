"""Ask for the user's attention: the sequences for title, focus, notifications and clipboard, and when to send them.

Nothing here writes: the caller sends what these functions return. The texts in them have no control characters.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ml_intern.terminal.blocks.width import cut, one_row
from ml_intern.text.formatting import duration, plural

BELL = "\x07"
FOCUS_ON, FOCUS_OFF = "\x1b[?1004h", "\x1b[?1004l"
MAX_TEXT = 120
MAX_TITLE = 60
MAX_COPIED = 100_000
"""Bytes that OSC 52 can carry in common terminals."""
PROGRAM = "ml-intern"

Channel = Literal["osc9", "osc777", "osc99", "bell", "off"]
_BY_PROGRAM: Mapping[str, Channel] = {"iTerm.app": "osc9", "WezTerm": "osc9", "ghostty": "osc9"}
_BY_TERM: tuple[tuple[str, Channel], ...] = (
    ("kitty", "osc99"),
    ("ghostty", "osc9"),
    ("wezterm", "osc9"),
    ("foot", "osc777"),
    ("rxvt", "osc777"),
)


def channel_for(environ: Mapping[str, str], setting: str = "auto") -> Channel:
    """Return how to notify: as the setting says, or as the terminal supports it; a bell where that is unknown.

    Inside tmux it is the bell, which tmux shows itself.
    """
    if setting in ("bell", "off"):
        return "bell" if setting == "bell" else "off"
    if environ.get("TERM") == "dumb":
        return "off"
    if environ.get("TMUX"):
        return "bell"
    if found := _BY_PROGRAM.get(environ.get("TERM_PROGRAM", "")):
        return found
    term = environ.get("TERM", "")
    return next((channel for part, channel in _BY_TERM if part in term), "bell")


def title(text: str) -> str:
    """Return the sequence that sets the title of the window; "" restores none but the program's name."""
    shown = cut(one_row(text), MAX_TITLE)
    return f"\x1b]0;{f'{shown} - {PROGRAM}' if shown else PROGRAM}\x07"


TITLE_SAVE, TITLE_RESTORE = "\x1b[22;0t", "\x1b[23;0t"
"""Put the window's title on the terminal's stack and take it off again."""


def notification(text: str, channel: Channel) -> str:
    """Return the sequence of a notification, followed by a bell where the channel is not the bell alone."""
    shown = cut(one_row(text), MAX_TEXT)
    match channel:
        case "osc9":  # OSC 9;4 is a progress bar, so that the text may not begin with a digit and a semicolon
            return f"\x1b]9;{PROGRAM}: {shown}\x07"
        case "osc777":
            return f"\x1b]777;notify;{PROGRAM};{shown.replace(';', ',')}\x1b\\"
        case "osc99":
            return f"\x1b]99;;{PROGRAM}: {shown}\x1b\\"
        case "bell":
            return BELL
        case "off":
            return ""


def copy(text: str, environ: Mapping[str, str]) -> str:
    """Return the sequence that puts text into the clipboard (OSC 52), or "" when it is too long.

    Inside tmux it needs `set-clipboard on`; inside screen it is wrapped, so that it reaches the terminal.
    """
    data = text.encode("utf-8", "replace")
    if len(data) > MAX_COPIED:
        return ""
    sequence = f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07"
    is_screen = environ.get("TERM", "").startswith("screen") and not environ.get("TMUX")
    return f"\x1bP{sequence}\x1b\\" if is_screen else sequence


@dataclass
class Attention:
    """Decides when to notify. The focus is unknown until the terminal reports it, and unknown counts as not there."""

    channel: Channel
    after_s: float
    focused: bool = False

    def question(self, names: Mapping[str, int]) -> str:
        """Return what to send when questions wait: the names of tools, and how often each."""
        words = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in names.items())
        return self._send(f"waiting for your answer: {words}")

    def turn_ended(self, status: str, seconds: float, queued: int = 0) -> str:
        """Return what to send when a turn ended: nothing for a short one, or one that another message follows."""
        if seconds < self.after_s or queued:
            return ""
        words = "done" if status == "done" else f"stopped ({status})"
        return self._send(f"{words} after {duration(seconds)}")

    def run_ended(self, name: str, state: str) -> str:
        """Return what to send when a background run ended."""
        return self._send(f"run {name}: {state}")

    def _send(self, text: str) -> str:
        return "" if self.focused else notification(text, self.channel)


def title_for(state: str, folder: str, waiting: int = 0) -> str:
    """Return the title of the window for a state of the session."""
    words = f"{plural(waiting, 'question')} waiting" if waiting else state
    return title(f"{words} - {folder}" if folder else words)
