"""The table of experiments: what was tried, over all threads, with the numbers it gave and where they are from."""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from ml_intern.store.database import Database


@dataclass(frozen=True)
class ExperimentRow:
    """One thing that was tried. `config`, `split_hashes` and `metrics` are JSON; the price is in US dollars."""

    id: str
    thread_id: str
    root_id: str
    folder: str = ""
    """The folder the user worked in."""
    run_id: str | None = None
    """The background run it was recorded from; None for one that the agent recorded."""
    parent: str | None = None
    """The experiment this one changes."""
    name: str = ""
    config: str = "{}"
    seed: int | None = None
    git_commit: str = ""
    script_sha256: str = ""
    data_revision: str = ""
    split_hashes: str = "{}"
    metrics: str = "{}"
    """What the agent recorded, by name: {"value": number, "source": where it is read, in words}."""
    run_metrics: str = "{}"
    """The last values in the run's log, by name; the database writes them when the run ends."""
    cost_usd: float | None = None
    """None: not known."""
    created: float = field(default_factory=time.time, compare=False)

    @property
    def values(self) -> dict[str, float]:
        """The value of each metric, what the agent recorded before what the log says."""
        recorded = {name: float(one["value"]) for name, one in json.loads(self.metrics).items()}
        # What is not finite stands there as a word.
        last = {name: value for name, value in json.loads(self.run_metrics).items() if isinstance(value, int | float)}
        return {**last, **recorded}


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

    async def find(self, text: str) -> Sequence[ExperimentRow]:
        """The experiments whose id begins with `text`, or whose run or name it is."""
        start = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        where = "id LIKE ? ESCAPE '\\' OR run_id = ? OR name = ?"
        return await self._database.read(_selection(where, start, text, text))

    async def list(self, thread_id: str | None = None, folder: str | None = None) -> Sequence[ExperimentRow]:
        """The experiments of a thread, of a folder, or of all threads, oldest first."""
        if thread_id is not None:
            return await self._database.read(_selection("thread_id = ?", thread_id))
        selection = _selection("folder = ?", folder) if folder is not None else _selection("true")
        return await self._database.read(selection)


def _selection(where: str, *values: str) -> Callable[[sqlite3.Connection], list[ExperimentRow]]:
    query = f"SELECT {_COLUMNS} FROM experiments WHERE {where} ORDER BY created, rowid"  # noqa: S608  constants only
    return lambda connection: [ExperimentRow(*found) for found in connection.execute(query, values)]
