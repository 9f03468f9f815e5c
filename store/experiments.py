"""The table of experiments: what was tried, over all threads, with the number it gave and where that number is from."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from store.database import Database


@dataclass(frozen=True)
class ExperimentRow:
    """One thing that was tried. `config`, `split_hashes` and `metric_source` are JSON; the price is in US dollars."""

    id: str
    thread_id: str
    root_id: str
    run_id: str | None = None
    parent: str | None = None
    """The experiment this one changes."""
    name: str = ""
    config: str = "{}"
    seed: int | None = None
    git_commit: str = ""
    data_revision: str = ""
    split_hashes: str = "{}"
    metric: str = ""
    value: float | None = None
    metric_source: str = "{}"
    """The artifact that holds the value, and how it is read there."""
    cost_usd: float | None = None
    created: float = field(default_factory=time.time, compare=False)


_NAMES = tuple(one.name for one in fields(ExperimentRow))
_COLUMNS = ", ".join(_NAMES)


class Experiments:
    """The experiments of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, row: ExperimentRow) -> None:
        """Write an experiment down, or write it anew."""
        marks = ", ".join(f":{name}" for name in _NAMES)
        statement = f"INSERT OR REPLACE INTO experiments ({_COLUMNS}) VALUES ({marks})"  # noqa: S608  constants only
        await self._database.write(lambda connection: connection.execute(statement, vars(row)))

    async def get(self, id: str) -> ExperimentRow | None:
        """The experiment with this id, or None."""
        return next(iter(await self._database.read(_selection("id = ?", id))), None)

    async def list(self, thread_id: str | None = None) -> Sequence[ExperimentRow]:
        """The experiments of a thread, or of all threads, oldest first."""
        selection = _selection("thread_id = ?", thread_id) if thread_id is not None else _selection("true")
        return await self._database.read(selection)


def _selection(where: str, *values: str) -> Callable[[sqlite3.Connection], list[ExperimentRow]]:
    query = f"SELECT {_COLUMNS} FROM experiments WHERE {where} ORDER BY created, rowid"  # noqa: S608  constants only
    return lambda connection: [ExperimentRow(*found) for found in connection.execute(query, values)]
