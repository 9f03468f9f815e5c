"""The store: one database of threads, its tables, its checkpointer, and the locks of its threads."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ml_intern.store.checkpoints.rows import Checkpoints
from ml_intern.store.database import Database, open_database
from ml_intern.store.experiments import Experiments
from ml_intern.store.journal import Journal
from ml_intern.store.ledger import Ledger
from ml_intern.store.lock import hold_thread, lock_path
from ml_intern.store.permissions import Permissions
from ml_intern.store.runs import Runs
from ml_intern.store.threads import Threads

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

DATABASE_NAME = "threads.db"
LOCKS = "locks"
RUNS = "runs"
"""The folder with a folder a run: its log, how it stands."""


class Store:
    """What is kept about threads; open it with `Store.open`. Several processes may have one home open at once."""

    def __init__(self, home: Path, database: Database, make_saver: "MakeSaver | None" = None) -> None:
        self.home = home
        self.database = database
        self.threads = Threads(database, home / LOCKS)
        self.journal = Journal(database)
        self.ledger = Ledger(database)
        self.runs = Runs(database)
        self.experiments = Experiments(database)
        self.permissions = Permissions(database)
        self.checkpoints = Checkpoints(database)
        self._make_saver = make_saver or _own_saver
        self._saver: BaseCheckpointSaver[Any] | None = None

    @classmethod
    async def open(cls, home: Path, make_saver: "MakeSaver | None" = None) -> Self:
        """Open the store in the folder `home`, made for its owner alone. Raises what `open_database` raises.

        `make_saver` gives another checkpointer than our own: the seam to other savers of LangGraph.
        """
        return cls(home, await open_database(home / DATABASE_NAME), make_saver)

    async def saver(self) -> "BaseCheckpointSaver[Any]":
        """The LangGraph checkpointer, made on first use since it imports langgraph."""
        if self._saver is None:
            self._saver = self._make_saver(self)
        return self._saver

    @asynccontextmanager
    async def hold(self, thread_id: str) -> AsyncIterator[None]:
        """Hold a thread for this block, so that no other process or session runs it. Raises ThreadLocked."""
        async with hold_thread(self.home / LOCKS, thread_id):
            yield

    async def delete(self, thread_id: str) -> Sequence[str]:
        """Delete a thread nobody holds, with its sub-agents, checkpoints and artifacts. Returns the ids that went.

        What it cost stays in the ledger. Raises ThreadLocked, and UsageError when there is no such thread.
        """
        async with self.hold(thread_id):
            runs = await self.runs.list()
            gone = await self.threads.delete(thread_id)
            await asyncio.to_thread(self._delete_files, gone)
            for run in runs:
                if run.thread_id in gone and not run.open:
                    await asyncio.to_thread(shutil.rmtree, self.home / RUNS / run.id, ignore_errors=True)
        return gone

    def _delete_files(self, thread_ids: Sequence[str]) -> None:
        for id in thread_ids:
            if id and Path(id).name == id != "..":  # an id is any text: it must not lead out of the folder
                shutil.rmtree(self.home / "artifacts" / id, ignore_errors=True)
            lock_path(self.home / LOCKS, id).unlink(missing_ok=True)

    async def close(self) -> None:
        """Write what the checkpointer still holds and close the database."""
        try:
            if finish := getattr(self._saver, "finish", None):
                await finish()
        finally:
            await self.database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


MakeSaver = Callable[[Store], "BaseCheckpointSaver[Any]"]


def _own_saver(store: Store) -> "BaseCheckpointSaver[Any]":
    from ml_intern.store.checkpoints.saver import Saver

    return Saver(store.database)
