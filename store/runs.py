"""The table of background runs: how each is found again, how it stands, and what the model was not told yet."""

import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict, Unpack

from ml_intern.store.database import Database
from ml_intern.store.ledger import CostReservation, enter

QUEUED, RUNNING = "queued", "running"
OPEN = (QUEUED, RUNNING)
FINAL = ("succeeded", "failed", "cancelled", "timeout", "lost")
_IS_OPEN = "state IN ('queued', 'running')"


@dataclass(frozen=True)
class RunRow:
    """A background run. Every state but those in OPEN is final. Times are seconds since the epoch, prices in USD."""

    id: str
    """Also its label with whoever runs it, by which it is found again."""
    thread_id: str
    command: str
    """What a person sees of what runs."""
    state: str = RUNNING
    root_id: str = ""
    call: str = ""
    """The mark of the tool call that started it."""
    name: str = ""
    backend: str = "local"
    host: str = ""
    folder: str = ""
    """The folder the user worked in."""
    handle: str | None = None
    """JSON by which its backend finds it; None until it was launched."""
    hardware: str | None = None
    limit_s: float | None = None
    usd_per_hour: float | None = None
    """None: not known."""
    ledger_id: int | None = None
    """Its reservation in the ledger; None for what costs nothing."""
    log: str = ""
    """Path of the file that holds all of its output."""
    log_offset: int = 0
    """Bytes of the log that were looked at for metrics."""
    exit_code: int | None = None
    reason: str = ""
    """Why it ended so, when the state alone does not say it."""
    tail: str = ""
    """The end of its output, as the model may see it."""
    metrics: str = "{}"
    """JSON: the last value of each metric."""
    cost_usd: float | None = None
    created: float = field(default_factory=time.time, compare=False)
    started: float | None = None
    finished: float | None = None

    @property
    def open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in OPEN


class RunChanges(TypedDict, total=False):
    """The fields of an open run that change."""

    state: str
    host: str
    handle: str | None
    limit_s: float | None
    log: str
    log_offset: int
    tail: str
    metrics: str
    started: float | None


@dataclass(frozen=True)
class Ending:
    """How a run ended. `state` is one of FINAL; a cost of None is unknown."""

    state: str
    exit_code: int | None = None
    reason: str = ""
    tail: str = ""
    metrics: str = "{}"
    cost_usd: float | None = 0.0
    finished: float | None = None


_NAMES = tuple(one.name for one in fields(RunRow))
_COLUMNS = ", ".join(_NAMES)


class Runs:
    """The background runs of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: RunRow, worst: CostReservation | None = None) -> None:
        """Write down a run before it starts; with `worst`, and its price reserved in the ledger in the same moment.

        Raises LimitReached when the cap does not allow that price; nothing is written then.
        """
        marks = ", ".join(f":{name}" for name in _NAMES)
        statement = f"INSERT INTO runs ({_COLUMNS}) VALUES ({marks})"  # noqa: S608  constants only

        def insert(connection: sqlite3.Connection) -> None:
            values = dict(vars(row))
            if worst is not None:
                entry = (row.thread_id, row.root_id or row.thread_id)
                values["ledger_id"] = enter(connection, (*entry, "job", row.hardware or row.backend), worst)
            connection.execute(statement, values)

        await self._database.write(insert)

    async def update(self, id: str, **changes: Unpack[RunChanges]) -> None:
        """Change an open run; one that ended stays as it is. Raises KeyError when there is none."""
        values: dict[str, Any] = {name: changes[name] for name in RunChanges.__annotations__ if name in changes}  # type: ignore[literal-required]
        settings = ", ".join(f"{name} = :{name}" for name in values)
        statement = f"UPDATE runs SET {settings} WHERE id = :id AND {_IS_OPEN}"  # noqa: S608  names from the TypedDict
        known = "SELECT 1 FROM runs WHERE id = ?"

        def change(connection: sqlite3.Connection) -> bool:
            changed = connection.execute(statement, {**values, "id": id}).rowcount
            return bool(changed or connection.execute(known, (id,)).fetchone())

        if not await self._database.write(change):
            raise KeyError(id)

    async def end(self, id: str, ending: Ending) -> bool:
        """Write how a run ended and settle its price; False when somebody else did so before."""
        values = {**vars(ending), "id": id, "finished": ending.finished or time.time()}
        settings = ", ".join(f"{name} = :{name}" for name in vars(ending))
        statement = f"UPDATE runs SET {settings} WHERE id = :id AND {_IS_OPEN} RETURNING ledger_id"  # noqa: S608  names of a dataclass
        settle = (
            "UPDATE ledger SET state = 'settled', cost_usd = :cost_usd, finished = :finished "
            "WHERE id = :ledger_id AND state = 'open'"
        )

        def close(connection: sqlite3.Connection) -> bool:
            found = connection.execute(statement, values).fetchone()
            if found is None:
                return False
            connection.execute(settle, {**values, "ledger_id": found[0]})
            return True

        return await self._database.write(close)

    async def get(self, id: str) -> RunRow | None:
        """The run with this id, or None."""
        return next(iter(await self._database.read(_selection("id = ?", id))), None)

    async def finished_unreported(self, thread_id: str, reported: Collection[str]) -> Sequence[RunRow]:
        """The finished runs of a thread whose ids are not among `reported`, oldest first."""
        rows = await self._database.read(_selection(f"thread_id = ? AND NOT {_IS_OPEN}", thread_id))
        return [row for row in rows if row.id not in reported]

    async def pending(self, thread_id: str) -> bool:
        """Whether a run of the thread is still under way."""
        return bool(await self.unfinished(thread_id))

    async def unfinished(self, thread_id: str | None = None) -> Sequence[RunRow]:
        """The open runs of a thread, or of all threads, oldest first."""
        where, values = ("thread_id = ? AND", [thread_id]) if thread_id is not None else ("", [])
        return await self._database.read(_selection(f"{where} {_IS_OPEN}", *values))

    async def list(self, thread_id: str | None = None) -> Sequence[RunRow]:
        """The runs of a thread, or of all threads, oldest first."""
        selection = _selection("thread_id = ?", thread_id) if thread_id is not None else _selection("true")
        return await self._database.read(selection)

    async def forget(self, id: str) -> None:
        """Delete the row of a run that never started, or whose thread is gone."""
        await self._database.write(lambda connection: connection.execute("DELETE FROM runs WHERE id = ?", (id,)))


def _selection(where: str, *values: str) -> Callable[[sqlite3.Connection], list[RunRow]]:
    query = f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY created, rowid"  # noqa: S608  constants only
    return lambda connection: [RunRow(*found) for found in connection.execute(query, values)]
