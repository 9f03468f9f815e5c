"""Read the searches of this machine for pages that show them. Each function opens the store itself."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from ml_intern.configs.errors import UsageError
from ml_intern.search.files.worktrees import SearchFiles
from ml_intern.search.record import SearchRecord
from ml_intern.search.saved import SavedSearch, find_search
from ml_intern.session.opening.store import open_store


async def all_searches() -> Sequence[SearchRecord]:
    """Return all searches, the latest first."""
    async with open_store() as store:
        return [await SavedSearch(store, row.id).load() for row in await store.searches.list()]


async def read_search(id: str) -> SearchRecord:
    """Return the search with this id or unique prefix. Raises UsageError."""
    async with open_store() as store:
        return await (await find_search(store, id, "")).load()


async def attempt_diff(id: str, number: int) -> str:
    """Return the changes of an attempt against its first parent with a commit; "" without a commit of its own."""
    search = await read_search(id)
    if number >= len(search.tree.attempts):
        raise UsageError(f"the search has no attempt {number}", "`ml-intern improve tree` shows its attempts")
    commits = [one.commit for one in search.tree.line(number)]
    parent = next((commit for commit in commits[1:] if commit), "")
    if not commits[0] or not parent:
        return ""
    files = SearchFiles.of(search.search_id, Path(search.plan.folder), search.plan.holdout)
    return await asyncio.to_thread(files.diff, parent, commits[0])


async def latest_search(folder: str) -> SearchRecord | None:
    """Return the latest search of a folder; None without any."""
    async with open_store() as store:
        rows = await store.searches.list(folder)
        return await SavedSearch(store, rows[0].id).load() if rows else None


async def ask_search(folder: str, wanted: str) -> str:
    """Ask the latest search of a folder to run, pause, finish or stop. Return its id. Raises UsageError."""
    async with open_store() as store:
        saved = await find_search(store, "", folder)
        if not await saved.runs():
            remedy = f"continue it with `ml-intern improve resume {saved.search_id}`"
            raise UsageError(f"no process runs the search {saved.search_id}", remedy)
        await saved.ask(wanted)
        return saved.search_id
