"""`improve status --watch`: a search as it runs, on a screen of its own; Enter shows the change of an attempt."""

import asyncio
from pathlib import Path

from ml_intern.commands.running.watching import check_watchable, screen_theme
from ml_intern.search.listing import attempt_diff
from ml_intern.search.saved import SavedSearch, find_search
from ml_intern.search.tree import Attempt
from ml_intern.session.opening.store import open_store
from ml_intern.terminal.theme import Theme
from ml_intern.terminal.views.outcome import Cancelled, Chosen
from ml_intern.terminal.views.search import SearchView
from ml_intern.terminal.views.text import TextView


def watch_search(id: str, folder: Path) -> int:
    """Show a search until the user leaves it. Return the exit code. Raises UsageError."""
    check_watchable("ml-intern improve status")
    return asyncio.run(_watch(id, folder))


async def _watch(id: str, folder: Path) -> int:
    theme = screen_theme()
    async with open_store() as store:
        saved = await find_search(store, id, str(folder))
        view = SearchView(await saved.load())
        while isinstance(chosen := await _chosen(saved, view, theme), Chosen):
            await _show_change(saved, chosen.value, theme)
    return 0


async def _chosen(saved: SavedSearch, view: SearchView, theme: Theme) -> Chosen[Attempt] | Cancelled:
    from ml_intern.terminal.fullscreen import FullScreen

    async def refresh() -> None:
        view.update(await saved.load())

    screen = FullScreen[Chosen[Attempt] | Cancelled](lambda width, height: view.rows(width, height, theme), view.handle)
    return await screen.run(refresh)


async def _show_change(saved: SavedSearch, attempt: Attempt, theme: Theme) -> None:
    from ml_intern.terminal.fullscreen import FullScreen

    text = await attempt_diff(saved.search_id, attempt.number)
    view = TextView(f"attempt {attempt.number}: {attempt.idea}", text.splitlines() or ["it has no change of its own"])

    async def refresh() -> None:
        """Do nothing: a commit does not change."""

    await FullScreen[Cancelled](lambda width, height: view.rows(width, height, theme), view.handle).run(refresh)
