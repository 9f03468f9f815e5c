"""Lets the user choose a thread from a numbered list."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ml_intern.terminal.render.summary import age, one_line, size
from ml_intern.text.formatting import plural, spent

if TYPE_CHECKING:
    from ml_intern.session.protocol import ThreadRow
    from ml_intern.terminal.prompt import LineReader
    from ml_intern.terminal.screen import Screen

TITLE = 48
NO_SIZES: Mapping[str, int] = MappingProxyType({})


async def pick_thread(
    screen: "Screen", asks: "LineReader", rows: "Sequence[ThreadRow]", sizes: Mapping[str, int] = NO_SIZES
) -> str | None:
    """Return the id of the chosen thread, or None. `sizes` are in bytes, by thread id."""
    if not rows:
        screen.line("no threads yet", "yellow")
        return None
    now = time.time()
    for number, row in enumerate(rows, start=1):
        screen.line(f"{number:3}  {_about(row, now, sizes.get(row.id, 0))}")
    answer = await asks.line("thread number, or Enter to cancel: ")
    if not answer or not answer.strip():
        return None
    if answer.strip().isdecimal() and 1 <= int(answer) <= len(rows):
        return rows[int(answer) - 1].id
    return answer.strip()


def _about(row: "ThreadRow", now: float, count: int) -> str:
    cost = spent(row.cost_usd, row.unpriced_requests)
    used = f"{age(now - row.updated):>6}  {row.state:11}  {plural(row.turns, 'turn'):>9}  {cost:>7}"
    return f"{used}  {size(count):>9}  {one_line(row.title or '(untitled)', TITLE)}  {row.folder}"
