"""The input line: its text, its keys, and the answer to a question."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import DynamicCompleter, ThreadedCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, FilterOrBool
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys

from ml_intern.terminal.input.draft import UnsentText
from ml_intern.terminal.input.history import LateHistory
from ml_intern.terminal.input.paste import RECALLED_LINES, Pastes, image_mention

if TYPE_CHECKING:
    from pathlib import Path

    from prompt_toolkit.completion import Completer
    from prompt_toolkit.key_binding import KeyPressEvent

    Action = Callable[[], object]

TWICE_S = 1.0
"""Seconds within which a second Esc belongs to the first."""

ARMED_S = 30.0
"""Seconds within which a second Ctrl-C quits."""
MAX_DRAFT = 50_000
"""Characters of a draft."""
PAUSE_S = 0.3
"""Seconds after a key in which the next one may belong to it."""


class Actions(Protocol):
    """The actions of the input line's keys on the session."""

    @property
    def working(self) -> bool:
        """Whether something runs that Esc interrupts."""
        ...

    def submit(self, text: str) -> None:
        """Take a line that the user entered. An empty one continues a turn that ended early."""

    def send_now(self, text: str) -> None:
        """Send a line, or with "" the next one that waits, before those that wait."""

    def take_back(self) -> str | None:
        """Return the last line that waits, and forget it."""

    def interrupt(self) -> None:
        """Interrupt what runs."""

    def rewind(self) -> None:
        """Let the user choose a turn to go back to."""

    def leave(self) -> None:
        """End the session."""

    def next_mode(self) -> None:
        """Switch to the next approval mode."""

    def open_pager(self) -> None:
        """Show whole outputs."""

    def open_history(self) -> None:
        """Let the user choose an earlier message."""

    def toggle_plan(self) -> None:
        """Fold or unfold the plan."""

    def toggle_reasoning(self) -> None:
        """Show or hide the reasoning while it streams."""


class Editor:
    """The buffer of the input line and its key bindings. `hint` shows a short message in the status line."""

    def __init__(self, actions: Actions, hint: "Callable[[str], None]") -> None:
        self._actions = actions
        self._hint = hint
        self.history = LateHistory()
        self.pastes = Pastes()
        self.completer: Completer | None = None
        self._last_key = 0.0
        self._escaped = 0.0
        self._armed_at = float("-inf")
        self.buffer = Buffer(
            name="input",
            history=self.history,
            completer=ThreadedCompleter(DynamicCompleter(lambda: self.completer)),
            complete_while_typing=True,
            enable_history_search=True,
            multiline=True,
        )
        self.draft = UnsentText(self._unsent)
        self.buffer.on_text_changed += lambda _: self.draft.changed()

    @property
    def typing(self) -> bool:
        """Return whether the user is in the middle of typing: keys are meant for the line, not for a question."""
        return time.monotonic() - self._last_key < (TWICE_S if self.buffer.text else PAUSE_S)

    def touch(self) -> None:
        """Remember that a key was pressed now."""
        self._last_key = time.monotonic()

    def restore(self, folder: "Path", workspace: "Path") -> bool:
        """Put the text that a session in this workspace left unsent into the line. Return whether there was one."""
        left = self.draft.open(folder, workspace)
        for text in left:
            self.history.append_string(text)
        if left:
            self.fill(left[-1])
        return bool(left)

    def fill(self, text: str) -> None:
        """Put a text into the line, unless the user is typing another. A long one is folded."""
        if not self.buffer.text:
            text = self.pastes.fold(text, RECALLED_LINES)
            self.buffer.text = text
            self.buffer.cursor_position = len(text)

    def replace(self, text: str) -> None:
        """Put a text into the line. What was there becomes an earlier message."""
        self._taken()
        self.fill(text)

    def bind(self, keys: KeyBindings, active: FilterOrBool) -> None:
        """Add the keys of the input line."""
        buffer = self.buffer
        menu = Condition(lambda: buffer.complete_state is not None)
        table: dict[str, Action] = {
            "enter": self._enter, "c-j": lambda: buffer.insert_text("\n"), "f20": lambda: buffer.insert_text("\n"),
            "escape": self._escape, "s-escape": self._escape_twice,
            "c-c": self._ctrl_c, "c-d": self._ctrl_d, "c-s": self._send_now,
            "tab": self._tab, "s-tab": self._actions.next_mode, "up": self._up, "down": self._down,
            "c-o": self._actions.open_pager, "c-r": self._actions.open_history,
            "c-t": self._actions.toggle_plan, "c-g": self._actions.toggle_reasoning,
        }  # fmt: skip
        for key, action in table.items():
            keys.add(key, filter=active, eager=key == "escape")(self._keyed(action, disarms=key != "c-c"))
        keys.add("s-tab", filter=menu)(self._keyed(buffer.complete_previous))
        keys.add(Keys.BracketedPaste, filter=active)(self._paste)

    def _keyed(self, action: "Action", *, disarms: bool = True) -> "Callable[[KeyPressEvent], None]":
        def run(_: "KeyPressEvent") -> None:
            if disarms:
                self._armed_at = float("-inf")
            action()

        return run

    def _paste(self, event: "KeyPressEvent") -> None:
        self.buffer.insert_text(image_mention(event.data) or self.pastes.fold(event.data))

    def _enter(self) -> None:
        state = self.buffer.complete_state
        if state and state.current_completion:
            self.buffer.complete_state = None
            return
        self._actions.submit(self._taken())

    def _send_now(self) -> None:
        self._actions.send_now(self._taken())

    def _taken(self) -> str:
        """Empty the line and return its text, with pasted texts in place of their tokens."""
        typed, saved = self.buffer.text, self._unsent()
        self.buffer.reset()
        if typed.strip() and self.history.get_strings()[-1:] != [saved]:
            self.history.append_string(saved)
        return self.pastes.expand(typed)

    def _unsent(self) -> str:
        """Return the text of the line, to be saved. A very long paste stays a token: its text is not saved."""
        text = self.pastes.expand(self.buffer.text)
        return text if len(text) <= MAX_DRAFT else self.buffer.text[:MAX_DRAFT]

    def _escape(self) -> None:
        """Close the menu, interrupt what runs, or undo turns at the second Esc."""
        if self._menu:
            self.buffer.cancel_completion()
        elif self._actions.working:
            self._actions.interrupt()
        elif time.monotonic() - self._escaped < TWICE_S:
            self._escaped = 0.0
            self._rewind()
        else:
            self._escaped = time.monotonic()

    def _escape_twice(self) -> None:
        """Take two Esc that arrived together. Under load the second may be read much later than the first."""
        if self._menu or self._actions.working:
            self._escape()
        else:
            self._rewind()

    @property
    def _menu(self) -> bool:
        """Whether completions are shown. The search for them may run on after the line was entered."""
        state = self.buffer.complete_state
        return state is not None and bool(state.completions)

    def _rewind(self) -> None:
        self._taken()
        self._actions.rewind()

    @property
    def _armed(self) -> bool:
        """Whether the user was warned, lately, that the next key quits."""
        return time.monotonic() - self._armed_at < ARMED_S

    def _ctrl_c(self) -> None:
        if self._actions.working:
            self._actions.interrupt()
        elif self._armed and not self.buffer.text:
            self._actions.leave()
        else:
            self._taken()
            self._armed_at = time.monotonic()
            self._hint("Ctrl-C again, or Ctrl-D, quits")

    def _ctrl_d(self) -> None:
        if self.buffer.text:
            self.buffer.delete()
        elif self._actions.working and not self._armed:
            self._armed_at = time.monotonic()
            self._hint("a turn is running: Esc interrupts it, Ctrl-D again quits")
        else:
            self._actions.leave()

    def _tab(self) -> None:
        expanded = self.pastes.expand_at(self.buffer.text, self.buffer.cursor_position)
        if self._menu:
            self.buffer.complete_next()
        elif expanded is not None:
            self.buffer.document = Document(*expanded)
        else:
            self.buffer.start_completion(insert_common_part=True)

    def _up(self) -> None:
        if self._menu:
            self.buffer.complete_previous()
        elif self.buffer.document.cursor_position_row:
            self.buffer.cursor_up()
        elif not self.buffer.text and (text := self._actions.take_back()) is not None:
            self.fill(text)
        else:
            self._earlier()

    def _earlier(self) -> None:
        """Show the message before that differs and begins with what was typed. Down returns to the typed text."""
        typed, place = self.buffer.text, -1
        while self.buffer.text == typed and place != self.buffer.working_index:
            place = self.buffer.working_index
            self.buffer.history_backward()
        self._fold_recalled(typed)
        if self.buffer.text == typed and typed:
            self._hint("no earlier message begins with this; Ctrl-R lists all")

    def _down(self) -> None:
        before = self.buffer.text
        self.buffer.auto_down()
        self._fold_recalled(before)

    def _fold_recalled(self, before: str) -> None:
        """Fold a long message that took the place of another text: the arrows would move in it."""
        text = self.buffer.text
        if text != before and (folded := self.pastes.fold(text, RECALLED_LINES)) != text:
            self.buffer.document = Document(folded, len(folded))
