"""A view on a screen of its own, outside a session: a list that can be refreshed while it is open."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyPressEvent

T = TypeVar("T")
REFRESH_S = 2.0
ESCAPE_S = 0.03
KEY_NAMES = {
    Keys.ControlM: "enter", Keys.ControlJ: "enter", Keys.Escape: "esc", Keys.ShiftEscape: "esc",
    Keys.ControlH: "backspace", Keys.ControlC: "c-c",
    Keys.ControlD: "c-d", Keys.ControlO: "c-o", Keys.ControlU: "c-u", Keys.ControlI: "tab",
    Keys.BackTab: "s-tab", Keys.Up: "up", Keys.Down: "down",
    Keys.Left: "left", Keys.Right: "right", Keys.Home: "home", Keys.End: "end",
    Keys.PageUp: "pageup", Keys.PageDown: "pagedown",
}  # fmt: skip


class FullScreen(Generic[T]):
    """Shows the rows that `rows` returns for a width and a height, until `handle` returns a result for a key."""

    def __init__(self, rows: Callable[[int, int], list[str]], handle: Callable[[str], T | None]) -> None:
        self._rows = rows
        self._handle = handle
        control = FormattedTextControl(self._text, show_cursor=False)
        self._app: Application[T] = Application(
            Layout(Window(control, wrap_lines=False)), key_bindings=self._bindings(), full_screen=True
        )
        self._app.ttimeoutlen = ESCAPE_S

    async def run(self, refresh: Callable[[], Awaitable[None]]) -> T:
        """Show the screen and return the result. `refresh` is called from time to time."""
        refreshing = asyncio.ensure_future(self._refresh(refresh))
        try:
            return await self._app.run_async()
        finally:
            refreshing.cancel()

    async def _refresh(self, refresh: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            await refresh()
            self._app.invalidate()

    def _text(self) -> ANSI:
        size = self._app.output.get_size()
        return ANSI("\n".join(self._rows(max(size.columns - 1, 1), max(size.rows, 1))))

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()

        def press(event: "KeyPressEvent") -> None:
            pressed = event.key_sequence[0]
            name = KEY_NAMES.get(pressed.key, pressed.data) if isinstance(pressed.key, Keys) else pressed.data
            if (result := self._handle(name)) is not None:
                event.app.exit(result=result)

        for key in KEY_NAMES:
            keys.add(key, eager=True)(press)
        keys.add(Keys.Any)(press)
        return keys
