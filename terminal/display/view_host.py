"""The view over the input line: a list that takes the keys until the user chooses or leaves."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys

from ml_intern.terminal.fullscreen import KEY_NAMES
from ml_intern.terminal.views.outcome import CANCELLED

if TYPE_CHECKING:
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.key_binding import KeyPressEvent

    from ml_intern.terminal.theme import Theme


class View(Protocol):
    """A list model of views/."""

    def handle(self, key: str) -> object | None:
        """Take a key; return the outcome, or None while there is none."""
        ...

    def paste(self, text: str) -> None:
        """Take pasted text."""

    def rows(self, width: int, height: int, theme: "Theme") -> list[str]:
        """Return at most `height` rows."""
        ...

    def as_lines(self) -> list[str]:
        """Return the question for plain mode."""
        ...

    def answer(self, line: str) -> object | None:
        """Take a line of plain mode; return the outcome, or None to ask again."""
        ...


class ViewHost:
    """Shows one view at a time. `changed` is called when it begins and ends."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._view: View | None = None
        self._outcome: asyncio.Future[Any] | None = None
        self.tall = False
        """Whether the view may take the whole screen."""
        self._moved: Callable[[], None] = lambda: None

    @property
    def active(self) -> bool:
        """Return whether a view takes the keys."""
        return self._view is not None

    async def choose(self, view: View, *, tall: bool = False, moved: Callable[[], None] = lambda: None) -> object:
        """Show a view and return its outcome; CANCELLED while another is shown. `moved` is called after each key."""
        if self._view is not None:
            return CANCELLED
        self.tall, self._moved = tall, moved
        self._view, self._outcome = view, asyncio.get_running_loop().create_future()
        self._changed()
        try:
            return await self._outcome
        finally:
            if self._view is view:
                self._end()

    def cancel(self) -> None:
        """End the view, because the screen goes."""
        if self._outcome is not None:
            self._outcome.cancel()

    def dismiss(self, outcome: object) -> None:
        """End the view with this outcome. Keys that follow it, even at once, are not for the view."""
        if self._view is not None and self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(outcome)
            self._end()

    def _end(self) -> None:
        self._view = None
        self._changed()

    def rows(self, width: int, height: int, theme: "Theme") -> list[str]:
        """Return the rows of the view."""
        return self._view.rows(width, height, theme) if self._view else []

    def bind(self, keys: KeyBindings, active: "Condition") -> None:
        """Take all keys while a view is shown."""
        for key in (*KEY_NAMES, Keys.Any):
            keys.add(key, filter=active, eager=True)(self._press)

    def _press(self, event: "KeyPressEvent") -> None:
        pressed = event.key_sequence[0]
        if pressed.key == Keys.BracketedPaste:
            if self._view is not None:
                self._view.paste(pressed.data)
            return
        self._handle(KEY_NAMES.get(pressed.key, pressed.data) if isinstance(pressed.key, Keys) else pressed.data)

    def _handle(self, name: str) -> None:
        if self._view is not None and (outcome := self._view.handle(name)) is not None:
            self.dismiss(outcome)
        else:
            self._moved()
