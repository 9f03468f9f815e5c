"""The screen of a session: the keys, the live part above and below the input line, and questions.

It is on the terminal from the first moment to the last. `Console` is also where questions are asked.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from prompt_toolkit.application.run_in_terminal import in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import BufferControl, HSplit, Layout, Window

from ml_intern.terminal.display.background import Background
from ml_intern.terminal.display.drawing import SessionApplication
from ml_intern.terminal.display.frame import CursorPlace, Frame, Size
from ml_intern.terminal.display.images import Images
from ml_intern.terminal.display.pager import show_in_pager
from ml_intern.terminal.display.paint import theme_for_terminal
from ml_intern.terminal.display.previews import Previews
from ml_intern.terminal.display.redirect import Redirected
from ml_intern.terminal.display.rows import clip
from ml_intern.terminal.display.signals import Signals
from ml_intern.terminal.display.view_host import View, ViewHost
from ml_intern.terminal.input.editor import Editor
from ml_intern.terminal.input.question import Question
from ml_intern.terminal.input.rows import input_rows, menu_rows
from ml_intern.terminal.keys import add_sequences
from ml_intern.terminal.theme import Theme

if TYPE_CHECKING:
    from pathlib import Path

    from prompt_toolkit.completion import Completer
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyPressEvent
    from prompt_toolkit.output import Output

    from ml_intern.configs.settings import TerminalSettings
    from ml_intern.terminal.display.frame import Resizing
    from ml_intern.terminal.display.previews import Previewed
    from ml_intern.terminal.input.editor import Actions
    from ml_intern.terminal.input.history import LateHistory
    from ml_intern.terminal.state import Transcript

FRAME_S = 1 / 12
"""Seconds between two frames while something moves."""
SETTLE_S = 0.3
"""Seconds without another change of size after which the screen is drawn again."""
HINT_S = 3.0
PROMPT = "> "
MAX_WAITING = 3
MIN_VIEW = 8


class Console:
    """Draws the transcript and the input line, and asks questions in it."""

    def __init__(
        self,
        transcript: "Transcript",
        actions: "Actions",
        *,
        resizing: "Resizing" = "wraps",
        input: "Input | None" = None,
        output: "Output | None" = None,
    ) -> None:
        self.transcript = transcript
        self.status: Callable[[int, Theme], str] = lambda _, theme: theme.paint(
            "dim", "setting up" if self.asking else "starting"
        )
        self.waiting: Callable[[], list[str]] = list
        self.resting: Callable[[], bool] = lambda: True
        self._theme = "auto"
        self.editor = Editor(actions, self.hint)
        self._answer = Buffer(name="answer")
        self._question: Question | None = None
        self.views = ViewHost(self.changed)
        self._dismissed: object | None = None
        """The outcome of a list that was dismissed before it was shown."""
        self._hint = ("", 0.0)
        self._live: list[str] = []
        self._live_room: int | None = None
        self._due = True
        self._timer: asyncio.TimerHandle | None = None
        self._held: asyncio.TimerHandle | None = None
        self._stopping = False
        self.given_away = False
        """Whether another program has the terminal: Ctrl-C is meant for that."""
        add_sequences()
        windows = [Window(BufferControl(buffer)) for buffer in (self.editor.buffer, self._answer)]
        self.signals = Signals(self._write)
        self.images = transcript.images = Images(os.environ, self._size)
        self.background = Background(self._write, self._choose_theme, self.signals.has_kitty, self.images)
        self.app = SessionApplication(
            Layout(HSplit(windows)),
            self._keys(),
            self._draw,
            self._resized,
            input=input,
            output=output,
        )
        self._answers = self.app.filter_answers(self.background.take)
        self.app.key_processor.before_key_press += lambda _: self._key_pressed()
        self.frame = Frame(self._write, self._size, resizing=resizing)
        self._redirected = Redirected(transcript.line)

    # --- from the first frame to the last

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Show the screen within this block. The task of the block is cancelled if the terminal is lost."""
        main, started = asyncio.current_task(), asyncio.Event()
        task = asyncio.create_task(
            self.app.run_async(pre_run=started.set, handle_sigint=False, set_exception_handler=False)
        )
        task.add_done_callback(lambda _: main.cancel() if main and not self._stopping else None)
        self.transcript.on_change = self.changed
        await started.wait()
        self.background.ask(self._answers)
        try:
            with self._redirected:
                yield
        finally:
            self._stopping = True
            self.editor.draft.close()
            await self.background.answered()
            self.signals.suspend()
            self._cancel_question()
            self.views.cancel()
            if not task.done():
                self.app.exit()
            with suppress(EOFError):  # the terminal is gone, which also sends SIGHUP
                await task

    @asynccontextmanager
    async def suspended(self) -> AsyncIterator[None]:
        """Give the terminal to another program within this block. Output of the session waits."""
        async with in_terminal():
            self.given_away = True
            self.signals.suspend()
            try:
                with self._redirected.off():
                    yield
            finally:
                self.given_away = False
                self.signals.resume()
        self.changed()

    def suspend(self) -> None:
        """Stop the program, as Ctrl-Z does, and draw again when it continues."""
        self.signals.suspend()
        self.app.suspend_to_background()
        if self.app.loop:
            self.app.loop.call_soon(self.signals.resume)

    def configure(self, settings: "TerminalSettings", folder: "Path") -> None:
        """Obey the settings of a session in this folder."""
        self.app.ttimeoutlen = self.app.timeoutlen = settings.escape_ms / 1000
        self.images.enabled = settings.images == "auto"
        self.signals.configure(settings, folder)

    def use_theme(self, setting: str) -> None:
        """Use the theme that the settings name; auto: the one for the terminal's background."""
        self._theme = setting
        self._choose_theme()

    def _choose_theme(self) -> None:
        self.transcript.paint = theme_for_terminal(self._theme, self.background.colour)
        self.changed()

    def complete_with(self, completer: "Completer") -> None:
        """Complete the input line with this."""
        self.editor.completer = completer

    @property
    def history(self) -> "LateHistory":
        """The lines that the user entered."""
        return self.editor.history

    def restore_draft(self, folder: "Path", workspace: "Path") -> None:
        """Put the text that a session in this workspace left unsent into the input line, and save what is typed."""
        if self.editor.restore(folder, workspace):
            self.hint("restored the text that was not sent")

    def fill(self, text: str) -> None:
        """Put a text into the input line, unless the user is typing another."""
        self.editor.fill(text)

    def replace(self, text: str) -> None:
        """Put a text into the input line. What was there becomes an earlier message."""
        self.editor.replace(text)

    async def page(self, text: str) -> None:
        """Show a whole text in the user's pager."""
        await show_in_pager(self, text)

    # --- questions

    async def line(
        self, question: str, default: str = "", *, hidden: bool = False, recorded: bool = True
    ) -> str | None:
        """Ask for one line; None for Ctrl-D. Raises KeyboardInterrupt for Ctrl-C and Esc.

        If `recorded`, question and answer stay in the scrollback.

        A line that the user is typing is not taken for the answer: the question waits until the keys pause.
        """
        await self._pause_of_keys()
        if self._stopping:
            raise KeyboardInterrupt
        asked = self._question = Question(question, hidden)
        self._answer.reset()
        self._answer.insert_text(default)
        self.app.layout.focus(self._answer)
        self.app.invalidate()
        try:
            answer = await asked.answer
        finally:
            self._end_question(asked)
        if recorded:
            self.transcript.line(asked.with_answer(answer), "dim")
        return answer

    async def choose(
        self, view: View, load: Callable[[Any], Awaitable[Any]] | None = None, *, at_once: bool = False
    ) -> object:
        """Ask with a list that may take the whole screen, and return its outcome.

        `load` returns the preview of an item. Keys that the user presses just before are not taken for the answer,
        unless it is shown at once.
        """
        if at_once:
            return await self.views.choose(view)
        self._dismissed = None
        await self._pause_of_keys()
        if self._dismissed is not None:
            return self._dismissed
        if load is None:
            return await self.views.choose(view, tall=True)
        previews = Previews[Any, Any](cast("Previewed[Any, Any]", view), load, self.changed)
        previews.moved()
        try:
            return await self.views.choose(view, tall=True, moved=previews.moved)
        finally:
            previews.stop()

    def dismiss(self, outcome: object) -> None:
        """End the list that is shown, and one that waits to be shown, with this outcome."""
        self._dismissed = outcome
        self.views.dismiss(outcome)

    def interrupted(self) -> bool:
        """Return False: Ctrl-C is a key, and a signal is meant for the running turn."""
        return False

    @property
    def asking(self) -> bool:
        """Return whether a question waits for its answer."""
        return self._question is not None or self.views.active

    async def _pause_of_keys(self) -> None:
        """Wait until no key would be taken for the answer by mistake, and no list that the user opened is shown."""
        while (self.editor.typing or self.views.active) and not self._stopping:  # noqa: ASYNC110 - keys have no event
            await asyncio.sleep(0.1)

    def _cancel_question(self) -> None:
        if self._question is not None:
            self._question.answer.cancel()

    # --- drawing

    def changed(self) -> None:
        """Draw what changed with the next frame."""
        self._due = True
        if self._timer is None and self.app.is_running and self.app.loop:
            self._timer = self.app.loop.call_later(FRAME_S if self.transcript.moving else 0.01, self._tick)

    def hint(self, text: str) -> None:
        """Show a short message in the status line for a moment."""
        self._hint = (text, time.monotonic() + HINT_S)
        if self.app.loop:
            self.app.loop.call_later(HINT_S, self.changed)
        self.app.invalidate()

    def _key_pressed(self) -> None:
        """Note the key. It ends the hint, which was about the key before."""
        self.editor.touch()
        self._hint = ("", 0.0)

    def repaint(self) -> None:
        """Clear the view and print the last rows again."""
        rows, cursor = self._composed(self._size())
        self._write(self.images.cleared())
        self.frame.repaint(rows, cursor)

    def clear(self) -> None:
        """Clear the view. The scrollback keeps what was there."""
        self.frame.forget()
        self.repaint()

    def _tick(self) -> None:
        self._timer = None
        self.app.invalidate()
        if self.transcript.moving:
            self.transcript.tick()
            self.changed()

    def _draw(self, gone: bool) -> None:  # noqa: FBT001
        """Draw a frame. A key draws with the rows of the transcript that the last timed frame had."""
        if gone:
            finished = self.transcript.finished(self._size().width, 0)
            self.frame.draw([], CursorPlace(0, 0), finished)
            return
        if self._held is not None:
            return
        if self.frame.resized:
            self._resized()
            return
        size, finished = self._size(), list[str]()
        if self._due:
            finished = self.transcript.finished(size.width, self._transcript_room(size))
            self._due = False
            self._live_room = None
        self.editor.buffer.load_history_if_not_yet_loaded()
        rows, cursor = self._composed(size)
        self.frame.draw(rows, cursor, finished)

    def _transcript_room(self, size: Size) -> int:
        """Return the rows that the live part of the transcript may have beside what is typed and waits."""
        limit = max(size.height // 2, 3)
        typed, _, menu = self._input(size.width, max(limit // 2, 1))
        return max(limit - len(typed) - len(menu) - len(self._waiting(size.width)) - 1, 0)

    def _composed(self, size: Size) -> tuple[list[str], CursorPlace]:
        """Return the live part, at most half of the screen: transcript, waiting lines, input, menu, status."""
        width, limit = size.width, max(size.height // 2, 3)
        typed, cursor, menu = self._input(width, max(limit // 2, 1))
        waiting = self._waiting(width)
        room = limit - len(typed) - len(menu) - 1
        waiting = waiting[: max(room, 0)]
        live = self._live_rows(width, room - len(waiting))
        rows = [*live, *waiting, *typed, *menu, self._status(width)]
        return rows, CursorPlace(cursor.row + len(live) + len(waiting), cursor.column)

    def _live_rows(self, width: int, room: int) -> list[str]:
        """Return the rows of the transcript that still change: those of the last timed frame, if they fit still."""
        if room != self._live_room:
            self._live = self.transcript.live(width - 1, room) if room > 0 else []
            self._live_room = room
        return self._live

    def _input(self, width: int, height: int) -> tuple[list[str], CursorPlace, list[str]]:
        if self.views.active:
            room = self._size().height - 3 if self.views.tall else 2 * height
            rows = self.views.rows(width - 1, max(room, MIN_VIEW), self.transcript.paint)
            return rows, CursorPlace(max(len(rows) - 1, 0), 0), []
        if self._question is not None:
            rows, cursor = self._question.rows(self._answer.text, self._answer.cursor_position, width, height + 2)
            return rows, cursor, []
        buffer, paint = self.editor.buffer, self.transcript.paint
        rows, cursor = input_rows(buffer.text, buffer.cursor_position, PROMPT, width, height)
        state = buffer.complete_state
        menu = menu_rows(state.completions, state.complete_index, width, paint) if state else []
        return rows, cursor, menu[:height]

    def _waiting(self, width: int) -> list[str]:
        lines = [clip(f"  {line}", width - 1) for line in self.waiting()]
        more = [f"  and {len(lines) - MAX_WAITING} more queued"] if len(lines) > MAX_WAITING else []
        return [self.transcript.paint("dim", line) for line in [*lines[:MAX_WAITING], *more]]

    def _status(self, width: int) -> str:
        text, until = self._hint
        if text and time.monotonic() < until:
            return self.transcript.paint("warning", clip(f"  {text}", width - 1))
        return f"  {self.status(width - 3, self.transcript.paint)}"

    def _resized(self) -> None:
        """Write nothing from the first change of size on, and draw the live part again when the size rests."""
        if self._held is None:
            self.frame.hold()
        else:
            self._held.cancel()
        loop = self.app.loop or asyncio.get_running_loop()
        self._held = loop.call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._held = None
        self.frame.erase()
        self._due = True
        self.app.invalidate()

    def send(self, sequence: str) -> bool:
        """Send a sequence that does not change the screen."""
        self._write(sequence)
        return True

    def _write(self, text: str) -> None:
        self.app.output.write_raw(text)
        self.app.output.flush()

    def _size(self) -> Size:
        size = self.app.output.get_size()
        return Size(max(size.columns, 4), max(size.rows, 2))

    # --- keys

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        asking = Condition(lambda: self._question is not None)
        viewing = Condition(lambda: self.views.active)
        self.editor.bind(keys, ~asking & ~viewing)
        self.views.bind(keys, viewing)
        answers: dict[str, Callable[[Question], None]] = {
            "enter": lambda asked: asked.give(self._answer.text),
            "c-j": lambda _: self._answer.insert_text("\n"),
            "escape": Question.cancel,
            "s-escape": Question.cancel,
            "c-c": Question.cancel,
            "c-d": self._delete_or_give_none,
        }
        for key, action in answers.items():
            keys.add(key, filter=asking & ~viewing, eager=True)(partial(self._to_question, action))
        keys.add("f21", eager=True)(lambda _: self.signals.focus(focused=True))
        keys.add("f22", eager=True)(lambda _: self.signals.focus(focused=False))
        keys.add("c-l")(lambda _: self.repaint())
        keys.add("c-z")(lambda _: self.suspend())
        return keys

    def _to_question(self, action: "Callable[[Question], None]", _: "KeyPressEvent") -> None:
        if (asked := self._question) is not None:
            action(asked)
            if asked.answer.done():  # keys that follow at once are for the input line
                self._end_question(asked)

    def _end_question(self, asked: Question) -> None:
        if self._question is asked:
            self._question = None
            self.app.layout.focus(self.editor.buffer)
            self.changed()

    def _delete_or_give_none(self, asked: Question) -> None:
        if self._answer.text:
            self._answer.delete()
        else:
            asked.give(None)
