"""Choose a thread from a numbered list."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from terminal.summary import one_line

if TYPE_CHECKING:
    from store.threads import ThreadRow
    from terminal.screen import Screen


class Asks(Protocol):
    """Something that can ask for one line; None when there is no answer."""

    async def line(self, question: str, default: str = "") -> str | None:
        """The answer, or None for Ctrl-C and Ctrl-D."""


async def pick_thread(screen: "Screen", asks: Asks, rows: "Sequence[ThreadRow]") -> str | None:
    """The id of the thread the user chooses, or None."""
    if not rows:
        screen.line("there are no threads yet", "yellow")
        return None
    for number, row in enumerate(rows, start=1):
        used = datetime.fromtimestamp(row.updated).astimezone().strftime("%Y-%m-%d %H:%M")
        screen.line(f"{number:3}  {used}  {row.turns:3} turns  {one_line(row.title or '(untitled)', 60)}  {row.folder}")
    answer = await asks.line("which one (number, empty for none)? ")
    if not answer or not answer.strip():
        return None
    if answer.strip().isdecimal() and 1 <= int(answer) <= len(rows):
        return rows[int(answer) - 1].id
    return answer.strip()
