"""Themes: the colour of every kind of text, by name, and which theme a terminal gets. It writes nothing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

Style = Literal[
    "plain", "bold", "dim", "italic", "accent", "success", "failure", "warning", "added", "removed", "location",
    "heading", "code", "link", "quote", "user", "selected", "hint",
    "chosen", "prompt",
]  # fmt: skip
"""The kinds of text. A theme gives each one a colour."""
STYLES: tuple[Style, ...] = get_args(Style)
ThemeName = Literal["dark", "light", "ansi", "none"]
THEME_NAMES: tuple[ThemeName, ...] = get_args(ThemeName)

_FORMS: Mapping[str, str] = {
    "plain": "", "bold": "1", "dim": "2", "italic": "3", "heading": "1", "quote": "3", "chosen": "7", "prompt": "1;36",
}  # fmt: skip
_ANSI: Mapping[str, str] = {
    **_FORMS,
    "accent": "36", "success": "32", "failure": "31", "warning": "33", "added": "32", "removed": "31",
    "location": "36", "code": "36", "link": "4", "user": "1", "selected": "1;36", "hint": "2",
}  # fmt: skip
_DARK: Mapping[str, str] = {
    **_FORMS,
    "dim": "38;5;246", "accent": "38;5;80", "success": "38;5;114", "failure": "38;5;210", "warning": "38;5;221",
    "added": "38;5;114", "removed": "38;5;210", "location": "38;5;80", "heading": "1;38;5;153", "code": "38;5;152",
    "link": "4;38;5;117", "quote": "3;38;5;250", "user": "1;38;5;255", "selected": "1;38;5;80", "hint": "38;5;246",
}  # fmt: skip
_LIGHT: Mapping[str, str] = {
    **_FORMS,
    "dim": "38;5;242", "accent": "38;5;24", "success": "38;5;22", "failure": "38;5;124", "warning": "38;5;94",
    "added": "38;5;22", "removed": "38;5;124", "location": "38;5;24", "heading": "1;38;5;18", "code": "38;5;54",
    "link": "4;38;5;25", "quote": "3;38;5;240", "user": "1;38;5;16", "selected": "1;38;5;24", "hint": "38;5;242",
}  # fmt: skip
_CODES: Mapping[ThemeName, Mapping[str, str]] = {
    "dark": _DARK, "light": _LIGHT, "ansi": _ANSI, "none": {},
}  # fmt: skip
"""SGR parameters by theme and style."""

Glyph = Literal[
    "success", "failure", "running", "pending", "rejected", "pointer", "bullet", "more", "full", "empty", "rule", "bar"
]
_UNICODE: Mapping[Glyph, str] = MappingProxyType({
    "success": "✓", "failure": "✗", "running": "●", "pending": "○", "rejected": "⊘", "pointer": "▸", "bullet": "•",
    "more": "…", "full": "█", "empty": "░", "rule": "─", "bar": "│",
})  # fmt: skip
_ASCII: Mapping[Glyph, str] = MappingProxyType({
    "success": "+", "failure": "!", "running": "*", "pending": "o", "rejected": "x", "pointer": ">", "bullet": "*",
    "more": "...", "full": "#", "empty": ".", "rule": "-", "bar": "|",
})  # fmt: skip


@dataclass(frozen=True)
class Theme:
    """A theme: the SGR parameters of each style, and the symbols that the terminal's encoding has."""

    name: ThemeName
    unicode: bool = True

    def __call__(self, style: str, text: str) -> str:
        """Return the text in a style, reset at its end. Text in an unknown style stays plain."""
        code = _CODES[self.name].get(style, "")
        return f"\x1b[{code}m{text}\x1b[0m" if code and text else text

    def paint(self, style: Style, text: str) -> str:
        """Return the text in a style of this list."""
        return self(style, text)

    def glyph(self, name: Glyph) -> str:
        """Return a symbol."""
        return (_UNICODE if self.unicode else _ASCII)[name]


def choose_theme(
    environ: Mapping[str, str],
    setting: str = "auto",
    background: str = "",
    *,
    unicode: bool = True,
) -> Theme:
    """Return the theme of a terminal.

    `setting` is a theme's name or "auto"; `background` is the terminal's answer to OSC 11, or "". A theme that the user
    names wins over NO_COLOR, as no-color.org asks for; a dumb terminal gets no colour in any case.
    """
    if environ.get("TERM") == "dumb":
        return Theme("none", unicode)
    if name := next((one for one in THEME_NAMES if one == setting), None):
        return Theme(name, unicode)
    if environ.get("NO_COLOR"):
        return Theme("none", unicode)
    return Theme(_detected(environ, background), unicode)


def has_many_colours(environ: Mapping[str, str]) -> bool:
    """Return whether the terminal has 256 colours or more."""
    return "256color" in environ.get("TERM", "") or environ.get("COLORTERM", "") in ("truecolor", "24bit")


def _detected(environ: Mapping[str, str], background: str) -> ThemeName:
    """Return dark or light where the background is known and the terminal has 256 colours, else ansi."""
    is_light = light_background(background) if background else _light_by_variable(environ.get("COLORFGBG", ""))
    if not has_many_colours(environ) or is_light is None:
        return "ansi"
    return "light" if is_light else "dark"


_RGB = re.compile(r"rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})")
_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""The share of red, green and blue in the luminance (ITU-R BT.709)."""


def light_background(answer: str) -> bool | None:
    """Return whether an answer to OSC 11, such as `rgb:1e1e/1e1e/1e1e`, is a light colour; None if it is none."""
    found = _RGB.search(answer)
    if found is None:
        return None
    shares = [int(digits, 16) / int("f" * len(digits), 16) for digits in found.groups()]
    return sum(weight * share for weight, share in zip(_WEIGHTS, shares, strict=True)) > 0.5


def _light_by_variable(value: str) -> bool | None:
    """Return whether COLORFGBG, such as `15;0`, names a light background: colours 7 and 9 to 15 are light."""
    last = value.rpartition(";")[2]
    if not last.isdecimal():
        return None
    return int(last) == 7 or 9 <= int(last) <= 15
