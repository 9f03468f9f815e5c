"""Keys of the kitty keyboard protocol, in the form that other terminals send. Shift-Enter starts a new line with it."""

import re
from collections.abc import Callable, Mapping

ASK, ON, OFF = "\x1b[?u", "\x1b[>1u", "\x1b[<u"
"""Ask whether the terminal has the protocol, turn on its unambiguous keys, and restore the mode before."""
ALT_ENTER, SHIFT_TAB = "\x1b\r", "\x1b[Z"
_KEY = re.compile(r"\x1b\[(\d+)(?::\d*)?(?::(\d+))?(?:;(\d+)(?::\d+)?)?u")
"""A code, the code on a US keyboard, and one more than the bits of the modifiers."""
_LOCKED = re.compile(r"\x1b\[(\d+);(\d+)(?::\d+)?([A-HPQS~])")
_CUT_OFF = re.compile(r"\x1b\[\d[\d;:]*$")
_SHIFT, _ALT, _CONTROL, _LOCKS = 1, 2, 4, 64 | 128
_ENTER, _TAB, _ESCAPE, _BACKSPACE = 13, 9, 27, 127
_ALT_KEYS: Mapping[str, str] = {"b": "\x1b[1;5D", "f": "\x1b[1;5C", "d": "\x1b[3;5~"}
"""The previous word, the next word, and deleting the next word, as Ctrl-Left, Ctrl-Right and Ctrl-Delete."""


class KittyReader:
    """Reads keys with `read` and translates them. A sequence that is cut off waits for its end.

    `early` is the number of bytes that were typed while Enter was still read as a line end.
    """

    def __init__(self, read: Callable[[int], str], count: int, early: int = 0) -> None:
        self._read = read
        self._count = count
        self._early = early
        self._rest = ""

    def __call__(self, count: int = 0) -> str:
        """Return the keys that were pressed."""
        read = self._read(count or self._count)
        if self._early > 0:
            self._early -= len(read.encode("utf-8", "surrogateescape"))
            read = read.replace("\n", "\r")
        text = self._rest + read
        cut_off = _CUT_OFF.search(text, max(len(text) - 32, 0))
        self._rest = cut_off[0] if cut_off else ""
        return as_others_send(text.removesuffix(self._rest))


def as_others_send(text: str) -> str:
    """Return keys with those of the protocol replaced. Other text stays as it is."""
    return _LOCKED.sub(_without_locks, _KEY.sub(_legacy, text)) if "\x1b[" in text else text


def _without_locks(found: re.Match[str]) -> str:
    """Return a cursor or function key as if Caps Lock and Num Lock were off."""
    number, bits, end = found[1], int(found[2]) - 1, found[3]
    if not bits & _LOCKS:
        return found[0]
    modifiers = bits & ~_LOCKS
    if modifiers:
        return f"\x1b[{number};{modifiers + 1}{end}"
    return f"\x1b[{number}~" if end == "~" else f"\x1b[{end}"


def _legacy(found: re.Match[str]) -> str:
    code = int(found[2] or found[1])
    bits = int(found[3] or 1) - 1 & ~_LOCKS
    if code == _ENTER:
        return ALT_ENTER if bits else "\r"
    if code == _TAB:
        return SHIFT_TAB if bits & _SHIFT else "\t"
    if code == _BACKSPACE:
        return "\x17" if bits & (_ALT | _CONTROL) else "\x7f"
    if code == _ESCAPE:
        return "\x1b"
    return _character(chr(code), bits) if code < 0xE000 or code > 0xF8FF else ""  # the private area: other keys


def _character(key: str, bits: int) -> str:
    if bits & _ALT:
        return _ALT_KEYS.get(key, "")
    if bits & _CONTROL:
        return chr(ord(key.upper()) & 31) if key.upper() in "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_ " else ""
    return key
