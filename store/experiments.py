"""The table of experiments of all threads, with their metrics and the sources of the metrics."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from ml_intern.store.connection import SqlConnection, ThreadDatabase


@dataclass(frozen=True)
class ExperimentRow:
    """One experiment. `config`, `split_hashes` and `metrics` are JSON; the cost is in US dollars."""

    id: str
    thread_id: str
    root_id: str
    folder: str = ""
    """The user's working folder."""
    run_id: str | None = None
    """The background run it was recorded from; None if the agent recorded it."""
    parent: str | None = None
    """The experiment on which this one is based."""
    name: str = ""
    config: str = "{}"
    seed: int | None = None
    git_commit: str = ""
    script_sha256: str = ""
    data_revision: str = ""
    split_hashes: str = "{}"
    metrics: str = "{}"
    """Metrics recorded by the agent, by name: {"value": number, "source": description}."""
    run_metrics: str = "{}"
    """The last values in the run's log, by name; set by a database trigger when the run ends."""
    cost_usd: float | None = None
    """None: unknown."""
    created: float = field(default_factory=time.time, compare=False)

    @property
    def values(self) -> dict[str, float]:
        """Return the value of each metric; recorded values take precedence over the log."""
        recorded = {name: float(one["value"]) for name, one in json.loads(self.metrics).items()}
        # Non-finite values are stored as strings.
        last = {name: value for name, value in json.loads(self.run_metrics).items() if isinstance(value, int | float)}
        return {**last, **recorded}


_NAMES = tuple(one.name for one in fields(ExperimentRow))
_COLUMNS = ", ".join(_NAMES)


class Experiments:
    """The experiments of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def put(self, row: ExperimentRow) -> None:
        """Insert or replace an experiment."""
        marks = ", ".join(f":{name}" for name in _NAMES)
        statement = f"INSERT INTO experiments ({_COLUMNS}) VALUES ({marks})"  # noqa: S608  constants only

        def replace(connection: SqlConnection) -> None:
            connection.execute("DELETE FROM experiments WHERE id = :id OR run_id = :run_id", vars(row))
            connection.execute(statement, vars(row))

        await self._database.write(replace)

    async def find(self, text: str) -> Sequence[ExperimentRow]:
        """Return the experiments whose id starts with `text` or whose run id or name equals it."""
        start = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        where = "id LIKE ? ESCAPE '\\' OR run_id = ? OR name = ?"
        return await self._database.read(_selection(where, start, text, text))

    async def list(self, thread_id: str | None = None, folder: str | None = None) -> Sequence[ExperimentRow]:
        """Return the experiments of a thread, of a folder, or of all threads, oldest first."""
        if thread_id is not None:
            return await self._database.read(_selection("thread_id = ?", thread_id))
        selection = _selection("folder = ?", folder) if folder is not None else _selection("true")
        return await self._database.read(selection)


def _selection(where: str, *values: str) -> Callable[[SqlConnection], list[ExperimentRow]]:
    query = f"SELECT {_COLUMNS} FROM experiments WHERE {where} ORDER BY created, rowid"  # noqa: S608  constants only
    return lambda connection: [ExperimentRow(*found) for found in connection.execute(query, values)]
