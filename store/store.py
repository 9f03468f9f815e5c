"""The store: the thread database, its tables, its checkpointer, and the locks of its threads."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ml_intern.configs.errors import UsageError
from ml_intern.store.engine import Engine, SqliteEngine
from ml_intern.store.event_numbers import EventNumbers
from ml_intern.store.evidence.table import EvidenceTable
from ml_intern.store.experiments import Experiments
from ml_intern.store.journal import Journal
from ml_intern.store.ledger import Ledger
from ml_intern.store.lock import lock_path
from ml_intern.store.permissions import Permissions
from ml_intern.store.queue import QueuedMessages
from ml_intern.store.runs import Runs
from ml_intern.store.searches.table import SearchTable
from ml_intern.store.sqlite.database import Database, open_database
from ml_intern.store.tainted_files import TaintedFiles
from ml_intern.store.team.events import StoredEvents
from ml_intern.store.team.operations import PostedOperations
from ml_intern.store.team.people.audit import Audit
from ml_intern.store.team.people.budgets import Budgets
from ml_intern.store.team.people.keys import UserKeys
from ml_intern.store.team.people.sharing import Sharing
from ml_intern.store.team.people.users import Users
from ml_intern.store.team.schedules import Schedules
from ml_intern.store.threads import ThreadTable

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

DATABASE_NAME = "threads.db"
LOCKS = "locks"
RUNS = "runs"
"""The folder with one subfolder per run, which contains the log and the state."""


class Store:
    """All stored data about threads. Open it with `Store.open`; several processes may use one home."""

    def __init__(self, home: Path, engine: "Engine", make_saver: "MakeSaver | None" = None) -> None:
        database = engine.database
        self.home = home
        self.engine = engine
        self.database = database
        self.checkpoints = engine.checkpoints
        self.threads = ThreadTable(database, engine.locks, engine.checkpoints)
        self.journal = Journal(database)
        self.queue = QueuedMessages(database)
        self.event_numbers = EventNumbers(database)
        self.ledger = Ledger(database)
        self.runs = Runs(database)
        self.experiments = Experiments(database)
        self.permissions = Permissions(database)
        self.tainted_files = TaintedFiles(database)
        self.evidence = EvidenceTable(database)
        self.searches = SearchTable(database)
        self.operations = PostedOperations(database)
        self.events = StoredEvents(database)
        self.schedules = Schedules(database, shared=engine.sqlite is None)
        self.users = Users(database)
        self.sharing = Sharing(database)
        self.budgets = Budgets(database)
        self.audit = Audit(database)
        self.user_keys = UserKeys(database)
        self._make_saver = make_saver or (lambda _: engine.open_saver())
        self._saver: BaseCheckpointSaver[Any] | None = None

    @classmethod
    async def open(cls, home: Path, make_saver: "MakeSaver | None" = None, url: str = "") -> Self:
        """Open the store in the folder `home`, creating it if needed. Raises the errors of `open_database`.

        `url` is the PostgreSQL database that has the threads, instead of a file in the folder. `make_saver` replaces
        the checkpointer, for use with other LangGraph savers.
        """
        if url:
            from ml_intern.store.postgres.engine import PostgresEngine

            return cls(home, await PostgresEngine.open(url, home / LOCKS), make_saver)
        return cls(home, SqliteEngine(await open_database(home / DATABASE_NAME), home / LOCKS), make_saver)

    async def saver(self) -> "BaseCheckpointSaver[Any]":
        """Return the LangGraph checkpointer. It is created on first use because it imports langgraph."""
        if self._saver is None:
            made = self._make_saver(self)
            self._saver = await made if isawaitable(made) else made
        return self._saver

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use the database."""
        return self.engine.sqlite is None

    @asynccontextmanager
    async def hold(self, thread_id: str) -> AsyncIterator[None]:
        """Lock a thread for this block against other processes and sessions. Raises ThreadLocked."""
        async with self.engine.locks.hold(thread_id):
            yield

    async def is_held(self, thread_id: str) -> bool:
        """Return whether a process has locked a thread."""
        return await self.database.read(lambda connection: self.engine.locks.is_locked(connection, thread_id))

    async def delete(self, thread_id: str) -> Sequence[str]:
        """Delete a thread with its sub-agents, checkpoints and artifacts. Return the deleted ids.

        Its costs stay in the ledger. Raises ThreadLocked, and UsageError if there is no such thread.
        """
        async with self.hold(thread_id):
            runs = await self.runs.list()
            deleted = await self.threads.delete(thread_id)
            await asyncio.to_thread(self._delete_files, deleted)
            for run in runs:
                if run.thread_id in deleted and not run.open:
                    await asyncio.to_thread(shutil.rmtree, self.home / RUNS / run.id, ignore_errors=True)
        return deleted

    def _delete_files(self, thread_ids: Sequence[str]) -> None:
        for id in thread_ids:
            if id and Path(id).name == id != "..":  # ids are arbitrary text and must not escape the folder
                shutil.rmtree(self.home / "artifacts" / id, ignore_errors=True)
            lock_path(self.home / LOCKS, id).unlink(missing_ok=True)

    async def sync(self) -> None:
        """Wait until everything that was written is on disk."""
        await self.database.write(lambda _: None)

    def file_database(self) -> Database:
        """Return the database if it is a file of this machine. Raises UsageError."""
        if self.engine.sqlite is None:
            raise UsageError("the threads are in a PostgreSQL database", "use PostgreSQL's own tools, such as pg_dump")
        return self.engine.sqlite

    async def close(self) -> None:
        """Commit the checkpointer's queued writes and close the database."""
        try:
            if finish := getattr(self._saver, "finish", None):
                await finish()
        finally:
            await self.database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


MakeSaver = Callable[[Store], "BaseCheckpointSaver[Any] | Awaitable[BaseCheckpointSaver[Any]]"]
