"""Choose a thread from a numbered list."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from ml_intern.terminal.render.summary import age, money, one_line, size

if TYPE_CHECKING:
    from ml_intern.session.protocol import ThreadRow
    from ml_intern.terminal.screen import Screen

TITLE = 48
NO_SIZES: Mapping[str, int] = MappingProxyType({})


class Asks(Protocol):
    """Ask for one line; None when the user gives none."""

    async def line(self, question: str, default: str = "") -> str | None:
        """The answer, or None for Ctrl-C and Ctrl-D."""


async def pick_thread(
    screen: "Screen", asks: Asks, rows: "Sequence[ThreadRow]", sizes: Mapping[str, int] = NO_SIZES
) -> str | None:
    """The id of the thread the user chooses, or None. `sizes` are bytes, by thread."""
    if not rows:
        screen.line("there are no threads yet", "yellow")
        return None
    now = time.time()
    for number, row in enumerate(rows, start=1):
        screen.line(f"{number:3}  {_about(row, now, sizes.get(row.id, 0))}")
    answer = await asks.line("which one (number, empty for none)? ")
    if not answer or not answer.strip():
        return None
    if answer.strip().isdecimal() and 1 <= int(answer) <= len(rows):
        return rows[int(answer) - 1].id
    return answer.strip()


def _about(row: "ThreadRow", now: float, count: int) -> str:
    used = f"{age(now - row.updated):>6}  {row.state:11}  {row.turns:3} turns  {money(row.cost_usd):>7}"
    return f"{used}  {size(count):>9}  {one_line(row.title or '(untitled)', TITLE)}  {row.folder}"
