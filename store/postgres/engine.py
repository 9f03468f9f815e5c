"""The engine for a PostgreSQL database that several machines share."""

from pathlib import Path
from typing import Self

from ml_intern.store.postgres.checkpoints import PostgresCheckpoints
from ml_intern.store.postgres.database import PostgresDatabase, open_postgres
from ml_intern.store.postgres.locks import AdvisoryLocks
from ml_intern.store.postgres.saver import PostgresSaver, open_saver


class PostgresEngine:
    """The database with its locks and its checkpointer. The checkpointer reads through a connection of its own."""

    def __init__(self, database: PostgresDatabase, locks: Path) -> None:
        self.database = database
        self.checkpoints = PostgresCheckpoints(database)
        self.locks = AdvisoryLocks(database, locks)
        self.sqlite = None

    @classmethod
    async def open(cls, url: str, locks: Path) -> Self:
        """Connect. `locks` is the folder for locks on this machine. Raises the errors of `open_postgres`."""
        return cls(await open_postgres(url), locks)

    async def open_saver(self) -> PostgresSaver:
        """Open the LangGraph checkpointer, which writes through the database."""
        return await open_saver(self.database)
