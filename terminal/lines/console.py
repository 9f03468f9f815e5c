"""The terminal of a session in plain mode: finished rows are printed once, in order, and questions are numbered lines.

It writes no control sequence. The kernel edits the lines that are typed.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO, cast

from ml_intern.terminal.blocks.width import clean
from ml_intern.terminal.display.redirect import Redirected
from ml_intern.terminal.display.rows import wrap
from ml_intern.terminal.display.signals import Signals
from ml_intern.terminal.input.history import LateHistory
from ml_intern.terminal.lines.input import LineInput
from ml_intern.terminal.theme import Theme
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from pathlib import Path

    from prompt_toolkit.completion import Completer

    from ml_intern.configs.settings import TerminalSettings
    from ml_intern.terminal.display.view_host import View
    from ml_intern.terminal.input.editor import Actions
    from ml_intern.terminal.state import Transcript

PAUSE_S = 0.05
"""Seconds in which rows are collected before they are printed, and the prompt after them."""
WHOLE_BLOCKS = 1_000_000
"""The height of an open reply: its blocks are printed when they are finished."""
PROMPT, ANSWER = "> ", "answer: "


class LineConsole:
    """Prints the transcript and asks questions, line by line."""

    def __init__(
        self, transcript: "Transcript", actions: "Actions", *, input: int | None = None, output: TextIO | None = None
    ) -> None:
        self.transcript = transcript
        self.status: Callable[[int, Theme], str] = lambda _, __: ""
        self.waiting: Callable[[], list[str]] = list
        self.resting: Callable[[], bool] = lambda: False
        self.history = LateHistory()
        self.signals = Signals(lambda _: None)
        self.given_away = False
        self._actions = actions
        self._out = output or sys.stdout
        self._input = LineInput(sys.stdin.fileno() if input is None else input, self._taken)
        self._answer: asyncio.Future[str | None] | None = None
        self._question = ""
        self._choosing = False
        self._dismissed: object | None = None
        self._shown = ""
        """The prompt or question at the end of the output, which the next row must not follow directly."""
        self._timer: asyncio.TimerHandle | None = None
        self._armed = False
        self._redirected = Redirected(transcript.line)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Print and read within this block."""
        self.transcript.on_change = self.changed
        self._input.start()
        try:
            with self._redirected:
                yield
        finally:
            self._input.stop()
            self.resting = lambda: False
            self.transcript.rest()
            self._flush()

    @asynccontextmanager
    async def suspended(self) -> AsyncIterator[None]:
        """Give the terminal to another program within this block."""
        self._flush()
        self._input.stop()
        self.given_away = True
        try:
            with self._redirected.off():
                yield
        finally:
            self.given_away = False
            self._input.start()
            self.changed()

    def configure(self, settings: "TerminalSettings", folder: "Path") -> None:
        """Do nothing: there is no title, no focus and no key to configure."""

    def use_theme(self, setting: str) -> None:
        """Keep the text without colours, whatever the settings say."""

    def complete_with(self, completer: "Completer") -> None:
        """Do nothing: the kernel edits the line."""

    def restore_draft(self, folder: "Path", workspace: "Path") -> None:
        """Do nothing: the kernel has the line until it is entered."""

    # --- output

    def changed(self) -> None:
        """Print what is finished, soon."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._flush)

    def hint(self, text: str) -> None:
        """Show a short message."""
        self.transcript.line(text)

    def fill(self, text: str) -> None:
        """Show a text for the input line, which cannot be filled in."""
        self.transcript.line(f"the message was: {text}")

    replace = fill

    def clear(self) -> None:
        """Leave what is on the screen."""

    def send(self, _: str) -> bool:
        """Return False: no sequence is sent."""
        return False

    async def page(self, text: str) -> None:
        """Show a whole text."""
        self.transcript.line(text)
        self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        width = shutil.get_terminal_size().columns
        for row in self.transcript.finished(width, WHOLE_BLOCKS):
            self._print(row)
        prompt = self._question if self._answer is not None else PROMPT if self.resting() else ""
        if prompt and prompt != self._shown:
            self._end_row()
            self._out.write(prompt)
            self._shown = prompt
        self._out.flush()

    def _print(self, row: str) -> None:
        self._end_row()
        self._out.write(f"{row}\n")

    def _end_row(self) -> None:
        if self._shown:
            self._out.write("\n")
        self._shown = ""

    # --- input

    def _taken(self, line: str | None) -> None:
        self.transcript.echoed = line or "" if self._shown == PROMPT else ""
        self._shown = ""  # Enter ended the row
        if line is None:
            self._out.write("\n")
        if self._answer is not None:
            if not self._answer.done():
                self._answer.set_result(line)
            elif line:  # typed before the next question was shown, which it cannot mean
                self.hint(f"not taken as an answer: {line}")
        elif line is None:
            self._leave()
        else:
            self._armed = False
            if line.strip():
                self.history.append_string(line)
            self._actions.submit(line)
            self.changed()

    def _leave(self) -> None:
        if self._actions.working and not self._armed:
            self._armed = True
            self.hint("a turn is running: Ctrl-C interrupts it, Ctrl-D again quits")
        else:
            self._actions.leave()

    def interrupted(self) -> bool:
        """Take Ctrl-C. Return False if it is meant for the running turn."""
        self._input.forget()
        if self._answer is not None:
            if not self._answer.done():
                self._answer.set_exception(KeyboardInterrupt())
        elif self._actions.working:
            return False
        elif self._armed:
            self._actions.leave()
        else:
            self._armed = True
            self._shown = self._shown or PROMPT
            self.hint("Ctrl-C again, or Ctrl-D, quits")
        return True

    # --- questions

    @property
    def asking(self) -> bool:
        """Return whether a question waits for its answer."""
        return self._answer is not None

    async def line(
        self, question: str, default: str = "", *, hidden: bool = False, recorded: bool = True
    ) -> str | None:
        """Ask for one line; None for Ctrl-D. Raises KeyboardInterrupt for Ctrl-C. An empty line means the default."""
        del recorded  # it is part of the output in any case
        if default:
            self.transcript.line(f"now: {default}")
            question = f"{question.rstrip()} (an empty line keeps it) "
        with self._input.hidden() if hidden else nullcontext():
            answer = await self._read(question)
        if hidden:
            self._print("")
        return default if answer is not None and not answer else answer

    async def choose(
        self, view: "View", load: Callable[[Any], Awaitable[Any]] | None = None, *, at_once: bool = False
    ) -> object:
        """Ask with a numbered list until the answer is one of it, and return the outcome. Ctrl-C and Ctrl-D are keys.

        `load` returns the preview of an item.
        """
        del at_once  # a line is never half typed
        previewed = cast("Any", view)
        self._choosing, self._dismissed = True, None
        try:
            while True:
                if load is not None and (item := previewed.needs_preview()) is not None:
                    previewed.show(item, await load(item))
                for line in view.as_lines():
                    for row in wrap(clean(line), max(shutil.get_terminal_size().columns, 20)):
                        self._print(row)
                outcome = await self._answered(view)
                if outcome is not None:
                    return outcome
        finally:
            self._choosing = False

    async def _answered(self, view: "View") -> object | None:
        try:
            line = await self._read(ANSWER)
        except KeyboardInterrupt:
            return view.handle("c-c")
        if self._dismissed is not None:
            return self._dismissed
        if line is None:
            return view.handle("c-d")
        return view.answer(line)

    def dismiss(self, outcome: object) -> None:
        """End the question with this outcome."""
        if self._choosing and self._answer is not None and not self._answer.done():
            self._dismissed = outcome
            self._answer.set_result("")

    async def _read(self, question: str) -> str | None:
        self._flush()
        self._answer, self._question = asyncio.get_running_loop().create_future(), visible(question)
        self._flush()
        try:
            return await self._answer
        finally:
            self._answer = None
            self.changed()
