"""The table of background runs: handles, states, results, and which runs are not reported to the model yet."""

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict, Unpack

from ml_intern.store.connection import SqlConnection, ThreadDatabase
from ml_intern.store.ledger import CostReservation, insert_entry

QUEUED, RUNNING = "queued", "running"
OPEN = (QUEUED, RUNNING)
FINAL = ("succeeded", "failed", "cancelled", "timeout", "lost")
IS_OPEN = "state IN ('queued', 'running')"


@dataclass(frozen=True)
class Notice:
    """A condition that a run met: the condition, what met it, and when (seconds since the epoch)."""

    condition: str
    text: str
    time: float


@dataclass(frozen=True)
class RunRow:
    """A background run. States other than those in OPEN are final. Times in seconds since the epoch, prices in USD."""

    id: str
    """Also the run's label at its backend, by which it can be found again."""
    thread_id: str
    command: str
    """The command as shown to the user."""
    state: str = RUNNING
    root_id: str = ""
    call: str = ""
    """The mark of the tool call that started the run."""
    name: str = ""
    backend: str = "local"
    host: str = ""
    folder: str = ""
    """The user's working folder."""
    handle: str | None = None
    """JSON by which the backend finds the run; None until it is launched."""
    hardware: str | None = None
    limit_s: float | None = None
    usd_per_hour: float | None = None
    """None: unknown."""
    ledger_id: int | None = None
    """The reservation in the ledger; None for a free run."""
    log: str = ""
    """Path of the file with the full output."""
    log_offset: int = 0
    """Bytes of the log that were already searched for metrics."""
    exit_code: int | None = None
    reason: str = ""
    """The reason for the state, if the state alone does not explain it, such as what a queued run waits for."""
    tail: str = ""
    """The end of the output, redacted for the model."""
    metrics: str = "{}"
    """JSON: the last value of each metric."""
    notify_when: str = "{}"
    """JSON: the conditions that wake the model while the run continues, each with the time from which it counts."""
    notices: str = "[]"
    """JSON: the notices about conditions that were met."""
    cost_usd: float | None = None
    created: float = field(default_factory=time.time, compare=False)
    started: float | None = None
    finished: float | None = None

    @property
    def open(self) -> bool:
        """Return whether the run is queued or running."""
        return self.state in OPEN


class RunChanges(TypedDict, total=False):
    """The fields of an open run that can change."""

    state: str
    host: str
    handle: str | None
    limit_s: float | None
    log: str
    log_offset: int
    reason: str
    tail: str
    metrics: str
    notify_when: str
    notices: str
    started: float | None


@dataclass(frozen=True)
class RunEnding:
    """The end of a run. `state` is one of FINAL; a cost of None is unknown."""

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

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def add(self, row: RunRow, reservation: CostReservation | None = None) -> None:
        """Record a run before it starts and, with `reservation`, reserve its cost in the same transaction.

        Raises LimitReached, and records nothing, if the cap does not allow that cost.
        """
        marks = ", ".join(f":{name}" for name in _NAMES)
        statement = f"INSERT INTO runs ({_COLUMNS}) VALUES ({marks})"  # noqa: S608  constants only

        def insert(connection: SqlConnection) -> None:
            values = dict(vars(row))
            if reservation is not None:
                entry = (row.thread_id, row.root_id or row.thread_id)
                values["ledger_id"] = insert_entry(
                    connection, (*entry, "job", row.hardware or row.backend), reservation
                )
            connection.execute(statement, values)

        await self._database.write(insert)

    async def update(self, id: str, **changes: Unpack[RunChanges]) -> None:
        """Change an open run; a finished run stays unchanged. Raises KeyError if there is no such run."""
        values: dict[str, Any] = {name: changes[name] for name in RunChanges.__annotations__ if name in changes}  # type: ignore[literal-required]
        settings = ", ".join(f"{name} = :{name}" for name in values)
        statement = f"UPDATE runs SET {settings} WHERE id = :id AND {IS_OPEN}"  # noqa: S608  names from the TypedDict
        known = "SELECT 1 FROM runs WHERE id = ?"

        def change(connection: SqlConnection) -> bool:
            changed = connection.execute(statement, {**values, "id": id}).rowcount
            return bool(changed or connection.execute(known, (id,)).fetchone())

        if not await self._database.write(change):
            raise KeyError(id)

    async def end(self, id: str, ending: RunEnding) -> bool:
        """Record the end of a run and settle its cost. Return False if it was already recorded."""
        values = {**vars(ending), "id": id, "finished": ending.finished or time.time()}
        settings = ", ".join(f"{name} = :{name}" for name in vars(ending))
        statement = f"UPDATE runs SET {settings} WHERE id = :id AND {IS_OPEN} RETURNING ledger_id"  # noqa: S608  names of a dataclass
        settle = (
            "UPDATE ledger SET state = 'settled', cost_usd = :cost_usd, finished = :finished "
            "WHERE id = :ledger_id AND state = 'open'"
        )

        def close(connection: SqlConnection) -> bool:
            found = connection.execute(statement, values).fetchone()
            if found is None:
                return False
            connection.execute(settle, {**values, "ledger_id": found[0]})
            return True

        return await self._database.write(close)

    async def get(self, id: str) -> RunRow | None:
        """Return the run with this id, or None."""
        return next(iter(await self._database.read(_selection("id = ?", id))), None)

    async def finished_unreported(self, thread_id: str, reported: Collection[str]) -> Sequence[RunRow]:
        """Return the finished runs of a thread that are not in `reported`, oldest first.

        Those of a sweep, which are of one call, follow when all of them have finished.
        """
        selections = [_selection(f"thread_id = ? AND {state} {IS_OPEN}", thread_id) for state in ("NOT", "")]
        ended, unfinished = await self._database.read(lambda connection: [one(connection) for one in selections])
        going_on = {row.call for row in unfinished if row.call}
        return [row for row in ended if row.id not in reported and row.call not in going_on]

    async def unreported_notices(
        self, thread_id: str, reported: Collection[str]
    ) -> Sequence[tuple[str, RunRow, Notice]]:
        """Return the notices of a thread whose ids are not in `reported`: id, run and notice, in order."""
        rows = await self._database.read(_selection("thread_id = ? AND notices <> '[]'", thread_id))
        found = [
            (f"{row.id}/{number}", row, Notice(**one))
            for row in rows
            for number, one in enumerate(json.loads(row.notices))
        ]
        return [one for one in found if one[0] not in reported]

    async def has_any(self, thread_id: str) -> bool:
        """Return whether the thread ever started a run."""
        query = "SELECT EXISTS (SELECT 1 FROM runs WHERE thread_id = ?)"
        return await self._database.read_cached(
            "runs", ("any", thread_id), lambda connection: bool(connection.execute(query, (thread_id,)).fetchone()[0])
        )

    async def pending(self, thread_id: str) -> bool:
        """Return whether the thread has unfinished runs."""
        return bool(await self.unfinished(thread_id))

    async def unfinished(self, thread_id: str | None = None) -> Sequence[RunRow]:
        """Return the open runs of a thread, or of all threads, oldest first."""
        where, values = ("thread_id = ? AND", [thread_id]) if thread_id is not None else ("", [])
        return await self._database.read(_selection(f"{where} {IS_OPEN}", *values))

    async def list(self, thread_id: str | None = None) -> Sequence[RunRow]:
        """Return the runs of a thread, or of all threads, oldest first."""
        selection = _selection("thread_id = ?", thread_id) if thread_id is not None else _selection("true")
        return await self._database.read(selection)

    async def forget(self, id: str) -> None:
        """Delete the row of a run that never started or whose thread was deleted."""
        await self._database.write(lambda connection: connection.execute("DELETE FROM runs WHERE id = ?", (id,)))


def _selection(where: str, *values: str) -> Callable[[SqlConnection], list[RunRow]]:
    query = f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY created, rowid"  # noqa: S608  constants only
    return lambda connection: [RunRow(*found) for found in connection.execute(query, values)]
