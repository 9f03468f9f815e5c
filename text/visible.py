"""Make hidden characters visible: control, bidirectional and zero-width characters become readable escapes."""

import re

# The Unicode categories Cc, Cf, Zl and Zp, look-alikes of the space, blank letters, tags, variation selectors and lone
# surrogates. Newline and tab stay because text is unreadable without them.
_HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff"
)
# U+FE0E and U+FE0F select an emoji's presentation; a single one stays unescaped after a non-ASCII character.
_HIDDEN_IN_ASCII = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
"""The same for text in ASCII, as most logs are; it is several times as fast."""
_HIDDEN_CHARACTER = re.compile(f"[{_HIDDEN}]|(?<![\u00a1-\ufdff\U0001f000-\U0001faff])[\ufe0e\ufe0f]")


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """Return `text` with every hidden character as an escape such as \\x1b or \\u202e; newline and tab stay.

    Idempotent and linear in the length of the text.
    """
    return (_HIDDEN_IN_ASCII if text.isascii() else _HIDDEN_CHARACTER).sub(_escaped, text)


CONTROLS = (
    *(number for number in range(0x20) if number not in {0x09, 0x0A, 0x0D}),
    *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A),
)  # fmt: skip
"""Characters that terminals act on: control characters except white space, and bidirectional controls."""
_CONTROL_CHARACTER = re.compile(f"[{re.escape(''.join(map(chr, CONTROLS)))}]|\r(?!\n)")


def inert(text: str) -> str:
    """Return `text` for a pipe or a file: what a terminal would act on becomes an escape, all else stays."""
    return _CONTROL_CHARACTER.sub(_escaped, text)


def has_hidden(text: str) -> bool:
    """Return whether `text` contains a character that `visible` would escape."""
    return _HIDDEN_CHARACTER.search(text) is not None
