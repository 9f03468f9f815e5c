"""The database engines of the store: what differs between one SQLite file and PostgreSQL."""

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ml_intern.store.checkpoints.tables import Checkpoints, CheckpointTables
from ml_intern.store.connection import ThreadDatabase
from ml_intern.store.lock import FileLocks, ThreadLocks
from ml_intern.store.sqlite.database import Database

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver


class Engine(Protocol):
    """A database, the locks of its threads, and its checkpointer."""

    @property
    def database(self) -> ThreadDatabase:
        """Return the database."""
        ...

    @property
    def checkpoints(self) -> CheckpointTables:
        """Return the tables of the checkpointer."""
        ...

    @property
    def locks(self) -> ThreadLocks:
        """Return the locks of threads."""
        ...

    @property
    def sqlite(self) -> Database | None:
        """Return the database if it is a file of this machine."""
        ...

    def open_saver(self) -> "BaseCheckpointSaver[Any] | Awaitable[BaseCheckpointSaver[Any]]":
        """Open the LangGraph checkpointer."""
        ...


class SqliteEngine:
    """The engine for one file on this machine."""

    def __init__(self, database: Database, locks: Path) -> None:
        self.database = database
        self.checkpoints = Checkpoints(database)
        self.locks = FileLocks(locks)
        self.sqlite = database

    def open_saver(self) -> "BaseCheckpointSaver[Any]":
        """Open the LangGraph checkpointer."""
        from ml_intern.store.checkpoints.saver import Saver

        return Saver(self.database)
