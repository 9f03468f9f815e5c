"""Answers of the terminal to queries: they arrive among the keys, and are taken out before they become typed text."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ml_intern.terminal.theme import has_many_colours

if TYPE_CHECKING:
    from prompt_toolkit.key_binding.key_processor import KeyPress

ESCAPE, OSC, CSI_PRIVATE, APC, END_OF_STRING = "\x1b", "\x1b]", "\x1b[?", "\x1b_", "\x1b\\"
ASK_BACKGROUND = "\x1b]11;?\x1b\\"
ASK_ATTRIBUTES = "\x1b[c"
"""Primary device attributes. Every terminal answers this, in order: no answer before it means that there is none."""
_OPEN = re.compile(
    r"\x1b(\](\d{1,3}(;[^\x07\x1b]{0,60}(\x07|\x1b\\?)?)?)?|\[(\?[\d;]{0,40}[A-Za-z]?)?|_(G[^\x1b]{0,60}(\x1b\\?)?)?)?"
)
"""An answer, or the beginning of one."""
_WHOLE = re.compile(r"\x1b\].*(\x07|\x1b\\)|\x1b\[\?.*[A-Za-z]|\x1b_.*\x1b\\", re.DOTALL)


def background_matters(environ: Mapping[str, str]) -> bool:
    """Return whether the theme of this terminal can depend on its background."""
    return has_many_colours(environ) and not environ.get("NO_COLOR")


def answers_queries(environ: Mapping[str, str]) -> bool:
    """Return whether this terminal knows queries, or at least ignores them."""
    return environ.get("TERM", "") not in ("", "dumb", "linux")


class AnswerFilter:
    """Passes key presses on, except those of answers, which `take` gets whole. They may arrive at any time.

    `released` is called after presses were passed on that had waited for the rest of an answer.
    """

    expecting = False
    """Whether an answer is expected: it may come in pieces, and an Esc may be its beginning."""

    def __init__(
        self,
        pass_on: "Callable[[KeyPress], object]",
        take: Callable[[str], object],
        released: Callable[[], object] = lambda: None,
    ) -> None:
        self._pass_on = pass_on
        self._take = take
        self._released = released
        self._text = ""
        self._held: list[KeyPress] = []

    def __call__(self, press: "KeyPress") -> None:
        """Take a key press."""
        if not self._text:
            self._begin(press)
            return
        self._text += press.data
        self._held.append(press)
        if not _OPEN.fullmatch(self._text):
            self._release()
        elif _WHOLE.fullmatch(self._text):
            text, self._text, self._held = self._text, "", []
            self._take(text)

    def _begin(self, press: "KeyPress") -> None:
        if press.data in (OSC, CSI_PRIVATE, APC) or (self.expecting and press.data == ESCAPE):
            self._text, self._held = press.data, [press] if press.data == ESCAPE else []
        elif press.data != END_OF_STRING:
            self._pass_on(press)

    def expect(self, *, expecting: bool) -> None:
        """Expect an answer, or no longer."""
        self.expecting = expecting
        if not expecting and self._text == ESCAPE:
            self._release()
            self._released()

    def _release(self) -> None:
        """Pass the collected keys on: they are not an answer."""
        held, self._text, self._held = self._held, "", []
        for press in held:
            self._pass_on(press)
