"""Lets the user choose a thread from a list with a filter, and a preview of its last messages."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError
from ml_intern.terminal.render.replay import without_files
from ml_intern.terminal.render.summary import age, one_line, size
from ml_intern.terminal.views.outcome import Chosen
from ml_intern.terminal.views.picker import Item, PickerView
from ml_intern.text.formatting import plural, spent

if TYPE_CHECKING:
    from ml_intern.session.protocol import ThreadRow, Threads
    from ml_intern.terminal.input.reader import SessionTerminal

PREVIEWED_MESSAGES = 6


async def pick_thread(console: "SessionTerminal", threads: "Threads", rows: "Sequence[ThreadRow]") -> str | None:
    """Return the id of the chosen thread, or None."""
    if not rows:
        console.transcript.line("no threads yet", "warning")
        return None
    view = PickerView("Continue which thread?", thread_items(rows, await threads.sizes([row.id for row in rows])))

    async def load(item: Item[str]) -> list[str]:
        return await last_messages(threads, item.value)

    outcome = await console.choose(view, load)
    return outcome.value if isinstance(outcome, Chosen) else None


def thread_items(rows: "Sequence[ThreadRow]", sizes: Mapping[str, int]) -> list[Item[str]]:
    """Return the list's items, by thread id. `sizes` are in bytes."""
    now = time.time()
    return [Item(row.id, row.title or "(untitled)", _about(row, now, sizes.get(row.id, 0))) for row in rows]


def _about(row: "ThreadRow", now: float, count: int) -> str:
    cost = spent(row.cost_usd, row.unpriced_requests)
    return f"{age(now - row.updated)}  {row.state}  {plural(row.turns, 'turn')}  {cost}  {size(count)}  {row.folder}"


async def last_messages(threads: "Threads", id: str) -> list[str]:
    """Return the last messages of a thread, one line each."""
    try:
        async with threads.read(id) as thread:
            messages = await thread.history()
    except MLInternError as error:
        return [str(error)]
    marks = {"user": "> ", "assistant": "  "}
    said = [message for message in messages if message.role in marks and message.text.strip()]
    return [f"{marks[one.role]}{one_line(without_files(one.text), 200)}" for one in said[-PREVIEWED_MESSAGES:]]
