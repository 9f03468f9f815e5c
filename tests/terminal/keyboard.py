"""A console on a terminal in memory, for tests that type at it in this process."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pyte
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from ml_intern.terminal.display.console import Console
from ml_intern.terminal.state import Transcript

WAIT = 60.0
PRIVATE = re.compile(r"\x1b\[[<>=?][\d;]*[a-z]|\x1b[\]_][^\x07\x1b]*(?:\x07|\x1b\\)")


class NoActions:
    """Keys of the input line that do nothing."""

    working = False

    def submit(self, text: str) -> None:
        """Take no line."""

    def take_back(self) -> str | None:
        return None

    send_now = submit
    interrupt = rewind = leave = next_mode = open_pager = open_history = toggle_plan = toggle_reasoning = lambda _: None


class Keyboard:
    """The console, its keys and its screen."""

    def __init__(self, keys: PipeInput, width: int, height: int) -> None:
        self._keys = keys
        self.screen = pyte.HistoryScreen(width, height, history=10_000, ratio=1)
        self._stream = pyte.Stream(self.screen)
        self.written = ""
        output = Vt100_Output(self, lambda: Size(self.screen.lines, self.screen.columns), term="xterm")  # type: ignore[arg-type]
        self.transcript = Transcript()
        self.actions = NoActions()
        self.console = Console(self.transcript, self.actions, input=keys, output=output)

    encoding = "utf-8"
    answers = True
    """Whether the terminal answers queries: that it has no background colour to report."""

    def write(self, text: str) -> None:
        self.written += text
        if self.answers and "\x1b[c" in text:
            self._keys.send_text("\x1b[?62;22c")
        self._stream.feed(PRIVATE.sub("", text))

    def flush(self) -> None:
        """Everything is written at once."""

    def isatty(self) -> bool:
        return True

    def view(self) -> str:
        return "\n".join(row.rstrip() for row in self.screen.display).rstrip()

    def everything(self) -> list[str]:
        """The scrollback, then the screen."""
        above = ["".join(row[column].data for column in range(self.screen.columns)).rstrip()
                 for row in self.screen.history.top]  # fmt: skip
        return [*above, *self.view().split("\n")]

    def resize(self, width: int, height: int) -> None:
        """Change the size of the window. Text is not wrapped anew."""
        self.screen.resize(height, width)
        self.console.app._on_resize()

    def send(self, text: str) -> None:
        """Let the terminal send a text at once."""
        self._keys.send_text(text)

    async def type(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self._keys.send_text(key)
            await asyncio.sleep(0.02)

    async def shows(self, text: str) -> str:
        """Wait until the text stands on the screen, and return the screen."""
        await self.until(lambda: text in " ".join(self.view().split()))
        return self.view()

    async def until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not found():  # noqa: ASYNC110 - the screen has no event to wait for
                await asyncio.sleep(0.005)


@asynccontextmanager
async def keyboard(width: int = 80, height: int = 30) -> AsyncIterator[Keyboard]:
    """A console that is running."""
    with create_pipe_input() as keys:
        typed = Keyboard(keys, width, height)
        with create_app_session(input=keys, output=typed.console.app.output):
            async with typed.console.running():
                yield typed
