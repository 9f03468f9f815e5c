"""`threads list --watch`: all threads of this machine as they change; Enter opens one."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.commands.options import Options
from ml_intern.commands.running.watching import check_watchable, screen_theme
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.terminal.render.summary import call_summary
from ml_intern.terminal.views.outcome import Cancelled, Chosen
from ml_intern.terminal.views.roster import RosterEntry, RosterView
from ml_intern.text.formatting import spent

if TYPE_CHECKING:
    from ml_intern.session.protocol import Threads, ThreadStatus


def watch_threads(limit: int | None) -> int:
    """Show the roster until the user leaves it, or opens a thread. Return the exit code. Raises UsageError."""
    check_watchable("ml-intern threads list")
    chosen = asyncio.run(_chosen(limit))
    if isinstance(chosen, Cancelled):
        return 0
    from ml_intern.commands.running.entry import run_with_person

    folder = chosen.value.folder
    return run_with_person(Options(resume=chosen.value.id, cd=folder if Path(folder).is_dir() else None))


async def _chosen(limit: int | None) -> Chosen[RosterEntry] | Cancelled:
    from ml_intern.terminal.fullscreen import FullScreen

    theme = screen_theme()
    async with threads_of_user() as threads:
        view = RosterView(await _entries(threads, limit))

        async def refresh() -> None:
            view.update(await _entries(threads, limit))

        screen = FullScreen[Chosen[RosterEntry] | Cancelled](
            lambda width, height: view.rows(width, height, theme, time.time()), view.handle
        )
        return await screen.run(refresh)


async def _entries(threads: "Threads", limit: int | None) -> Sequence[RosterEntry]:
    return [_entry(status) for status in await threads.statuses(limit)]


def _entry(status: "ThreadStatus") -> RosterEntry:
    row = status.row
    asked = [
        str(one["description"]) if one["name"] == "question" else call_summary(one["name"], one["args"])
        for one in status.requests
    ]
    cost = spent(row.cost_usd, row.unpriced_requests)
    return RosterEntry(row.id, row.title, row.state, row.folder, row.updated, cost, "; ".join(asked), status.metric)
