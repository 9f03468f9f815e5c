"""Move a thread between the stores of two places: a data folder of this machine and a team's database."""

from dataclasses import dataclass
from pathlib import Path

from ml_intern.configs.errors import UsageError
from ml_intern.configs.paths import data_home, database_url
from ml_intern.session.opening.store import open_store

LOCAL = "local"
"""The target that is the file in a data folder."""


@dataclass(frozen=True)
class MoveSummary:
    """A thread that was moved. The numbers are those of what was copied."""

    id: str
    title: str
    threads: int
    """With the threads of its sub-agents."""
    checkpoints: int
    files: int


async def move_thread(text: str, to: str, home: str | None = None) -> MoveSummary:
    """Move the thread with this id, unique prefix or title to a PostgreSQL database or, for `local`, to the file.

    `home` is the data folder there, by default the one of this process. Raises UsageError, ThreadLocked and the errors
    of the stores.
    """
    from ml_intern.snapshots.records import shadow_folder
    from ml_intern.store.moving.thread import move_thread as move
    from ml_intern.store.store import Store

    url = "" if to == LOCAL else to
    there = Path(home).expanduser().absolute() if home else data_home()
    if url == database_url() and (url or there == data_home()):
        raise UsageError("the thread is there already", "name another database, or local with --home")
    async with open_store() as source, await Store.open(there, url=url) as target:
        row = await source.threads.find(text)
        snapshots = shadow_folder(source.home, Path(row.folder).resolve()) if row.folder else None
        shared = [str(snapshots.relative_to(source.home))] if snapshots is not None and snapshots.is_dir() else []
        moved = await move(source, target, row.id, shared)
        return MoveSummary(moved.row.id, moved.row.title, moved.threads, moved.checkpoints, moved.files)
