"""prompt_toolkit's Application with the frame in place of its own renderer."""

import errno
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from prompt_toolkit.application import Application
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.renderer import Renderer
from prompt_toolkit.styles import DummyStyle

from ml_intern.terminal.input.answers import AnswerFilter
from ml_intern.terminal.input.kitty import KittyReader
from ml_intern.terminal.input.paste_reader import PasteReader
from ml_intern.terminal.keys import typed_early

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.layout import Layout
    from prompt_toolkit.output import Output

ESCAPE_S = 0.03
"""Seconds after which an Esc is a key of its own and not the beginning of a sequence."""
READ_CHARACTERS = 65_536
"""Characters read at once: with prompt_toolkit's 1,024 a paste of 1 MB takes a second."""


def _until_gone(flush: Callable[[], None]) -> Callable[[], None]:
    """Return `flush` without the error of a terminal that is gone, which also sends SIGHUP."""

    def flush_if_there() -> None:
        try:
            flush()
        except OSError as error:
            if error.errno != errno.EIO:
                raise

    return flush_if_there


class FrameRenderer(Renderer):
    """Draws by calling `draw`, with True when the live part shall disappear."""

    def __init__(self, output: "Output", draw: Callable[[bool], None]) -> None:
        self._draw = draw
        super().__init__(DummyStyle(), output)

    @property
    def height_is_known(self) -> bool:
        """Return True: menus do not depend on the position of the cursor."""
        return True

    def request_absolute_cursor_position(self) -> None:
        """Ask for nothing: the frame counts its own rows."""

    def render(self, app: Application[Any], layout: "Layout", is_done: bool = False) -> None:  # noqa: FBT001
        """Draw the live part, or remove it."""
        if not self._bracketed_paste_enabled:
            self.output.enable_bracketed_paste()
            self._bracketed_paste_enabled = True
        self._draw(is_done)
        app.layout.visible_windows = [layout.current_window]
        self.output.flush()
        if is_done:
            self.reset()

    def erase(self, leave_alternate_screen: bool = True) -> None:  # noqa: FBT001
        """Remove the live part."""
        self._draw(True)
        self.reset(leave_alternate_screen=leave_alternate_screen)


class SessionApplication(Application[None]):
    """The application of a session. `resized` is called when the window has changed its size."""

    def __init__(
        self,
        layout: "Layout",
        keys: "KeyBindings",
        draw: Callable[[bool], None],
        resized: Callable[[], None],
        *,
        input: "Input | None" = None,
        output: "Output | None" = None,
    ) -> None:
        self._resized = resized
        super().__init__(layout, key_bindings=keys, max_render_postpone_time=None, input=input, output=output)
        self.ttimeoutlen = ESCAPE_S
        self.timeoutlen = ESCAPE_S
        self.output.flush = _until_gone(self.output.flush)  # type: ignore[method-assign]
        self.renderer = FrameRenderer(self.output, draw)
        if isinstance(self.input, Vt100Input):
            reader = self.input.stdin_reader
            keys_read = KittyReader(reader.read, READ_CHARACTERS, typed_early())
            reader.read = PasteReader(keys_read, self._paste)  # type: ignore[method-assign]

    def filter_answers(self, take: Callable[[str], None]) -> AnswerFilter | None:
        """Call `take` with each answer of the terminal to a query, instead of reading it as keys."""
        if not isinstance(self.input, Vt100Input):
            return None
        parser = self.input.vt100_parser
        parser.feed_key_callback = answers = AnswerFilter(parser.feed_key_callback, take, self._process_released)
        return answers

    def _paste(self, keys: str) -> None:
        if isinstance(self.input, Vt100Input):
            self.input.vt100_parser.feed(keys)
            self._process_released()

    def _process_released(self) -> None:
        """Process keys that the filter passed on later than they were read: nothing else reads them now."""
        context = self.context or copy_context()
        context.copy().run(self._process_flushed)

    def _process_flushed(self) -> None:
        self.key_processor.feed_multiple(self.input.flush_keys())
        self.key_processor.process_keys()

    def _on_resize(self) -> None:
        self._resized()
