"""Modes of the terminal outside the screen: the window's title, notifications, and the kitty keyboard protocol."""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.terminal.attention import (
    FOCUS_OFF,
    FOCUS_ON,
    TITLE_RESTORE,
    TITLE_SAVE,
    Attention,
    channel_for,
    title_for,
)
from ml_intern.terminal.input import kitty

if TYPE_CHECKING:
    from ml_intern.configs.settings import TerminalSettings

UNTITLED_TERMS = ("dumb", "linux")
"""Terminals without a title."""
RUN_OPEN = ("queued", "running")
"""The states of a background run that has not ended."""


class Signals:
    """Sends the sequences of attention.py. It is silent until `configure`."""

    def __init__(self, send: Callable[[str], object]) -> None:
        self._send = send
        self._attention = Attention("off", 0.0)
        self._titled = False
        self._folder = ""
        self._title = ""
        self._began = time.monotonic()
        self._on = False
        self._kitty = False

    def has_kitty(self) -> None:
        """Turn on the keys of the kitty keyboard protocol, which the terminal has."""
        if not self._kitty:
            self._kitty = True
            self._send(kitty.ON)

    def configure(self, settings: "TerminalSettings", folder: Path) -> None:
        """Obey the settings of a session in this folder."""
        channel = channel_for(os.environ, settings.notifications)
        self._attention = Attention(channel, settings.notify_after_s)
        self._titled = settings.title and os.environ.get("TERM", "") not in UNTITLED_TERMS
        self._folder = folder.name
        self._begin()

    def resume(self) -> None:
        """Begin again after another program had the terminal."""
        if self._kitty:
            self._send(kitty.ON)
        self._begin()

    def _begin(self) -> None:
        self._on = True
        focus = FOCUS_ON if self._attention.channel != "off" else ""
        self._send(focus + (TITLE_SAVE if self._titled else ""))
        self._send(self._title)

    def suspend(self) -> None:
        """Restore the terminal for another program."""
        if self._kitty:
            self._send(kitty.OFF)
        if self._on:
            self._on = False
            focus = FOCUS_OFF if self._attention.channel != "off" else ""
            self._send(focus + (TITLE_RESTORE if self._titled else ""))

    def focus(self, *, focused: bool) -> None:
        """Note that the window gained or lost the focus."""
        self._attention.focused = focused

    def state(self, state: str, questions: int = 0) -> None:
        """Show a state in the title: the number of questions that wait, else the state."""
        title = title_for(state, self._folder, questions) if self._titled else ""
        if title != self._title:
            self._title = title
            self._send(title)

    def question(self, requests: Sequence[dict[str, Any]]) -> None:
        """Notify that requests wait for an answer."""
        self.state("waiting", len(requests))
        self._send(self._attention.question(Counter(str(request["name"]) for request in requests)))

    def turn_began(self) -> None:
        """Note when a turn began."""
        self._began = time.monotonic()

    def turn_ended(self, status: str, queued: int) -> None:
        """Notify at the end of a long turn, unless another message follows."""
        self._send(self._attention.turn_ended(status, time.monotonic() - self._began, queued))

    def run_changed(self, id: str, state: str) -> None:
        """Notify at the end of a background run."""
        if state not in RUN_OPEN:
            self._send(self._attention.run_ended(id, state))
