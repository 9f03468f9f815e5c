"""The table of threads for lists and pickers. Except for titles and folders, a cache of checkpoints and ledger."""

import difflib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypedDict, Unpack

from ml_intern.configs.errors import UsageError
from ml_intern.store.checkpoints.packing import id_timestamp
from ml_intern.store.checkpoints.tables import CheckpointTables
from ml_intern.store.connection import SqlConnection, ThreadDatabase
from ml_intern.store.lock import ThreadLocks
from ml_intern.store.runs import IS_OPEN
from ml_intern.store.team.people.sharing import copy_owner
from ml_intern.text.formatting import listed

ThreadState = Literal["idle", "running", "waiting", "interrupted"]

_WRITTEN = "id, title, folder, parent, forked_at, created, updated, state, turns, cost_usd, redo"
_NO_CHILD = "(parent IS NULL OR forked_at IS NOT NULL)"
_OWN_LEDGER = "FROM ledger WHERE root_id = threads.id"
_COLUMNS = (
    "id, title, folder, parent, forked_at, created, updated, state, turns, "
    f"CASE WHEN {_NO_CHILD} THEN (SELECT coalesce(sum(cost_usd), 0.0) {_OWN_LEDGER}) ELSE cost_usd END, "
    f"(SELECT count(*) {_OWN_LEDGER} AND cost_usd IS NULL), redo"
)
"""The cost of a thread is read from the ledger; a sub-agent's spending is part of its root thread's there."""


@dataclass(frozen=True)
class ThreadRow:
    """A thread. Times are in seconds since the epoch; `redo` lists undone checkpoints, latest last."""

    id: str
    title: str
    folder: str
    parent: str | None
    """The thread it was forked from, or the thread of the agent that started it."""
    forked_at: int | None
    """The parent's turn after which it was forked; None for a sub-agent's thread."""
    created: float
    updated: float
    state: ThreadState
    """If the process of a running thread ends unexpectedly, the state is read as interrupted."""
    turns: int
    cost_usd: float
    """The known part of the cost."""
    unpriced_requests: int
    """Requests of unknown price."""
    redo: tuple[str, ...]

    @property
    def child(self) -> bool:
        """Return whether this is the thread of a sub-agent."""
        return self.parent is not None and self.forked_at is None


class ThreadChanges(TypedDict, total=False):
    """The fields of a thread that can be changed; `updated` is set automatically."""

    title: str
    folder: str
    state: ThreadState
    turns: int
    cost_usd: float
    redo: tuple[str, ...]


class NewThread(ThreadChanges, total=False):
    """The fields that can be set when a thread is created."""

    id: str
    parent: str | None
    forked_at: int | None
    created: float
    updated: float


_ALL = 2**62
_THREAD_TABLES = (
    "journal", "runs", "experiments", "permissions", "queued_messages", "event_numbers", "evidence", "operations",
    "served_threads", "events", "thread_access",
)  # fmt: skip


class ThreadTable:
    """The threads of a database."""

    def __init__(self, database: ThreadDatabase, locks: ThreadLocks, checkpoints: CheckpointTables) -> None:
        self._database = database
        self._locks = locks
        self._checkpoints = checkpoints

    async def create(self, **fields: Unpack[NewThread]) -> ThreadRow:
        """Add a thread, with a new UUID unless an id is given. Raises UsageError if the id exists."""
        row = _new_row(fields)

        def insert(connection: SqlConnection) -> bool:
            if row.forked_at is not None and row.parent is not None:
                copy_owner(connection, row.parent, row.id)
            return _insert(connection, row)

        if not await self._database.write(insert):
            raise UsageError(f"there is already a thread {row.id}")
        return row

    async def get_or_create(self, id: str, **fields: Unpack[ThreadChanges]) -> ThreadRow:
        """Return the row of `id`, created from `fields` if missing, for example for a thread started in Studio."""
        row = _new_row({"id": id, **fields})

        def insert(connection: SqlConnection) -> ThreadRow:
            _insert(connection, row)
            return _require(connection, id)

        return await self._database.write(insert)

    async def get(self, id: str) -> ThreadRow | None:
        """Return the thread with exactly this id, or None."""

        def get(connection: SqlConnection) -> ThreadRow | None:
            row = _get(connection, id)
            return self._with_actual_state(connection, row) if row else None

        return await self._database.read(get)

    async def find(self, text: str) -> ThreadRow:
        """Return the thread with this id, unique id prefix, or title.

        Raises UsageError with similar names or with the candidates.
        """
        await self._add_unlisted()

        def find(connection: SqlConnection) -> ThreadRow:
            return self._with_actual_state(connection, _find(connection, text.strip()))

        return await self._database.read(find)

    async def list(
        self, folder: str | None = None, limit: int | None = None, *, children: bool = False, user: str = ""
    ) -> Sequence[ThreadRow]:
        """Return threads, latest first, of one folder or of all; `children` includes threads of sub-agents.

        `user` is the id of a user; then only threads are returned that the user has access to.
        """
        await self._add_unlisted()
        wheres = ["folder = :folder"] if folder is not None else []
        wheres += ["id IN (SELECT thread_id FROM thread_access WHERE user_id = :user)"] if user else []
        wheres += [] if children else [_NO_CHILD]
        where = f"WHERE {' AND '.join(wheres)}" if wheres else ""
        query = f"SELECT {_COLUMNS} FROM threads {where} ORDER BY updated DESC, rowid DESC LIMIT :limit"  # noqa: S608  constants only
        values = {"folder": folder, "limit": _ALL if limit is None else limit, "user": user}

        def select(connection: SqlConnection) -> list[ThreadRow]:
            rows = [_row(found) for found in connection.execute(query, values)]
            return [self._with_actual_state(connection, row) for row in rows]

        return await self._database.read(select)

    async def latest(self, folder: str) -> ThreadRow | None:
        """Return the most recently used thread of this folder, or None."""
        return next(iter(await self.list(folder, 1)), None)

    async def update(self, id: str, **changes: Unpack[ThreadChanges]) -> ThreadRow:
        """Change a thread and return its new row. Raises UsageError if it does not exist."""
        values: dict[str, Any] = {**changes, "updated": time.time()}
        if "redo" in values:
            values["redo"] = json.dumps(values["redo"])
        settings = ", ".join(f"{name} = :{name}" for name in values if name in NewThread.__annotations__)
        statement = f"UPDATE threads SET {settings} WHERE id = :id"  # noqa: S608  names from the TypedDict

        def change(connection: SqlConnection) -> ThreadRow:
            connection.execute(statement, {**values, "id": id})
            return _require(connection, id)

        return await self._database.write(change)

    async def options(self, id: str) -> Mapping[str, Any]:
        """Return the options saved for a thread, or else for the thread it was forked from; empty without any."""
        query = (
            "WITH RECURSIVE line(id, depth) AS (SELECT ?, 0 UNION ALL SELECT threads.parent, depth + 1 FROM threads "
            "JOIN line ON threads.id = line.id WHERE threads.parent IS NOT NULL AND depth < 1000) "
            "SELECT options FROM threads JOIN line ON threads.id = line.id WHERE options IS NOT NULL "
            "ORDER BY depth LIMIT 1"
        )
        found = await self._database.read(lambda connection: connection.execute(query, (id,)).fetchone())
        return json.loads(found[0]) if found else {}

    async def save_options(self, id: str, options: Mapping[str, Any]) -> None:
        """Save the options that the thread continues with."""
        values = (json.dumps(options), id)
        await self._database.write(
            lambda connection: connection.execute("UPDATE threads SET options = ? WHERE id = ?", values).rowcount
        )

    async def delete(self, id: str) -> Sequence[str]:
        """Delete a thread, its sub-agents' threads and their rows except the ledger. Return the deleted ids."""

        def remove(connection: SqlConnection) -> Sequence[str]:
            deleted = [_require(connection, id).id, *_children(connection, id)]
            for thread_id in deleted:
                self._checkpoints.delete(connection, thread_id)
                connection.execute("DELETE FROM threads WHERE id = ?", (thread_id,))
                for table in _THREAD_TABLES:
                    # open runs keep their rows, so that they can be found and stopped
                    condition = f"AND NOT {IS_OPEN}" if table == "runs" else ""
                    connection.execute(f"DELETE FROM {table} WHERE thread_id = ? {condition}", (thread_id,))  # noqa: S608  constants only
            return deleted

        return await self._database.write(remove)

    async def children(self, id: str) -> Sequence[str]:
        """Return the ids of the threads of a thread's sub-agents."""
        return await self._database.read(lambda connection: _children(connection, id))

    async def delete_unlisted(self, id: str) -> None:
        """Delete the checkpoints of a thread whose row was never written, and the row that stands for it."""

        def remove(connection: SqlConnection) -> None:
            self._checkpoints.delete(connection, id)
            connection.execute("DELETE FROM threads WHERE id = ? AND title = '' AND folder = ''", (id,))

        await self._database.write(remove)

    def _with_actual_state(self, connection: SqlConnection, row: ThreadRow) -> ThreadRow:
        """Return the row with the state `interrupted` if it is marked running but no process has locked it."""
        was_cut_off = row.state == "running" and not self._locks.is_locked(connection, row.id)
        return replace(row, state="interrupted") if was_cut_off else row

    async def _add_unlisted(self) -> None:
        """Add rows for threads with checkpoints but no row, from Studio or an older copy of the table."""
        if await self._database.read(self._checkpoints.without_row):
            await self._database.write(self._insert_unlisted)

    def _insert_unlisted(self, connection: SqlConnection) -> None:
        for id in self._checkpoints.without_row(connection):
            refs = self._checkpoints.line_of(connection, id)
            times = [id_timestamp(ref.id) for ref in refs] or [0.0]
            turns = sum(ref.source == "input" for ref in refs)
            _insert(connection, _new_row({"id": id, "created": times[-1], "updated": times[0], "turns": turns}))


def insert_missing(connection: SqlConnection, id: str, **fields: Unpack[ThreadChanges]) -> None:
    """Add the row of a new thread within a transaction."""
    _insert(connection, _new_row({"id": id, **fields}))


def _new_row(fields: Mapping[str, Any]) -> ThreadRow:
    now = time.time()
    defaults: dict[str, Any] = {
        "id": str(uuid.uuid4()), "title": "", "folder": "", "parent": None, "forked_at": None,
        "created": now, "updated": now, "state": "idle", "turns": 0, "cost_usd": 0.0, "unpriced_requests": 0,
        "redo": (),
    }  # fmt: skip
    return ThreadRow(**{**defaults, **fields})


def _row(found: tuple[Any, ...]) -> ThreadRow:
    *fields, redo = found
    return ThreadRow(*(*fields, tuple(json.loads(redo))))


def _insert(connection: SqlConnection, row: ThreadRow) -> bool:
    values = {**vars(row), "redo": json.dumps(row.redo)}
    marks = ", ".join(f":{name}" for name in _WRITTEN.split(", "))
    statement = f"INSERT INTO threads ({_WRITTEN}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608  constants only
    return connection.execute(statement, values).rowcount == 1


def _get(connection: SqlConnection, id: str) -> ThreadRow | None:
    found = connection.execute(f"SELECT {_COLUMNS} FROM threads WHERE id = ?", (id,)).fetchone()  # noqa: S608  constants only
    return _row(found) if found else None


def _require(connection: SqlConnection, id: str) -> ThreadRow:
    row = _get(connection, id)
    if row is None:
        raise UsageError(f"there is no thread {id}", "run `ml-intern threads list` to list all threads")
    return row


def _children(connection: SqlConnection, id: str) -> list[str]:
    tree = (
        "WITH RECURSIVE tree(id) AS ("
        "SELECT id FROM threads WHERE parent = ? AND forked_at IS NULL UNION "
        "SELECT threads.id FROM threads JOIN tree ON threads.parent = tree.id AND forked_at IS NULL"
        ") SELECT id FROM tree"
    )
    return [child for (child,) in connection.execute(tree, (id,))]


def _find(connection: SqlConnection, text: str) -> ThreadRow:
    if exact := _get(connection, text):
        return exact
    names = connection.execute("SELECT id, title FROM threads ORDER BY updated DESC").fetchall()
    folded = text.casefold()
    matches = [id for id, title in names if folded and (id.startswith(text.lower()) or title.casefold() == folded)]
    if len(matches) == 1:
        return _require(connection, matches[0])
    if matches:
        raise UsageError(
            f"{text!r} matches several threads: {_some(matches, dict(names))}", "give more characters of the id"
        )
    known = [name for pair in names for name in pair if name]
    near = difflib.get_close_matches(text, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "run `ml-intern threads list` to list all threads"
    raise UsageError(f"there is no thread {text!r}", hint)


def _some(ids: list[str], titles: dict[str, str]) -> str:
    return listed([f"{id[:13]} {titles[id]!r}" if titles[id] else id[:13] for id in ids], 5)
