"""A question over the input line that is answered with one line."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_intern.terminal.blocks.width import cells
from ml_intern.terminal.display.frame import CursorPlace
from ml_intern.terminal.display.rows import wrap
from ml_intern.terminal.input.rows import input_rows
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from asyncio import Future


def _future() -> "Future[str | None]":
    return asyncio.get_running_loop().create_future()


@dataclass(frozen=True)
class Question:
    """A question and its answer to come. `hidden`: the answer is not shown."""

    text: str
    hidden: bool = False
    answer: "Future[str | None]" = field(default_factory=_future)

    def give(self, answer: str | None) -> None:
        """Answer it; None for Ctrl-D."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def cancel(self) -> None:
        """Refuse to answer."""
        if not self.answer.done():
            self.answer.set_exception(KeyboardInterrupt())

    def rows(self, typed: str, cursor: int, width: int, height: int) -> tuple[list[str], CursorPlace]:
        """Return the question with what was typed behind its last row, and the place of the cursor."""
        *above, last = wrap(visible(self.text), width - 1)
        shown = "•" * len(typed) if self.hidden else typed
        last = last if cells(last) < width // 2 else f"{last}\n"
        if last.endswith("\n"):
            above, last = [*above, last.rstrip("\n")], "  "
        rows, place = input_rows(shown, cursor, last, width, max(height - len(above), 1))
        above = above[-max(height - len(rows), 1) :]
        return [*above, *rows], CursorPlace(place.row + len(above), place.column)

    def with_answer(self, answer: str | None) -> str:
        """Return the question and the answer as the scrollback shows them."""
        return f"{self.text}{'' if self.hidden or answer is None else answer}".rstrip()
