"""Reads pasted text, which may hold the mark that ends a paste: what follows that mark at once is not typed."""

import asyncio
import re
from collections.abc import Callable

BEGIN, END = "\x1b[200~", "\x1b[201~"
_REMOVED = re.compile(r"\x1b\[20[01]~|\x1b")
PAUSE_S = 0.05
"""Seconds without input after which a paste has ended."""


class PasteReader:
    """Reads keys with `read`. A paste is given to `release`, with what was typed right after it.

    A paste ends with the last mark before a pause. The terminal does not remove such marks from pasted text, or not
    always: tmux 3.3 does not. What follows one would otherwise be typed, and sent with the first line end.
    """

    def __init__(self, read: Callable[[int], str], release: Callable[[str], object]) -> None:
        self._read = read
        self._release = release
        self._parts: list[str] = []
        self._last = ""
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, count: int = 0) -> str:
        """Return the keys that were pressed before a paste."""
        read = self._read(count)
        if self._parts:
            self._add(read)
            return ""
        before, begin, pasted = read.partition(BEGIN)
        if begin:
            self._add(pasted)
        return before

    def _add(self, text: str) -> None:
        """Collect a part of the paste. A mark may be cut in two."""
        self._last = (self._last + text)[-len(text) - len(END) + 1 :]
        self._ended |= END in self._last
        self._parts.append(text)
        if self._timer is not None:
            self._timer.cancel()
        if self._ended:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._end)

    def _end(self) -> None:
        pasted, _, typed = "".join(self._parts).rpartition(END)
        self._parts, self._last, self._ended, self._timer = [], "", False, None
        self._release(f"{BEGIN}{_REMOVED.sub('', pasted)}{END}{typed}")
