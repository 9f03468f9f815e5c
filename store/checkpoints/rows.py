"""The tables of checkpoints, as bytes: a checkpoint is its difference to a base, the writes of a task are one row.

The saver gives these bytes their meaning; nothing here imports langgraph.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from ml_intern.store.checkpoints.packing import TASK_DICTIONARY, as_base, deflate, inflate, pack_id, unpack_id
from ml_intern.store.database import Database

_POOR = 200
"""Bytes above which a difference to the base is poor, when it also is more than a sixth of the whole."""
_BASE_STEPS = 128
"""Steps of the graph after which a base has drifted away; measured, 64 and 256 are within 5 % of it."""

_CHECKPOINT = "SELECT id, parent, (SELECT raw FROM bases WHERE no = base), body FROM checkpoints WHERE lane = ?"
# CROSS JOIN keeps SQLite from scanning the whole thread for each step.
_LINE = """
WITH RECURSIVE line(depth, id, parent, source, step, names) AS (
    SELECT 0, id, parent, source, step, names FROM checkpoints WHERE lane = :lane AND id = :id
    UNION ALL
    SELECT depth + 1, older.id, older.parent, older.source, older.step, older.names
    FROM line CROSS JOIN checkpoints older ON older.lane = :lane AND older.id = line.parent WHERE depth < :depth
) SELECT id, parent, source, step, names FROM line
"""
_LINE_WRITES = """
WITH RECURSIVE line(depth, id, parent) AS (
    SELECT 0, id, parent FROM checkpoints WHERE lane = :lane AND id = :id
    UNION ALL
    SELECT depth + 1, older.id, older.parent
    FROM line CROSS JOIN checkpoints older ON older.lane = :lane AND older.id = line.parent WHERE depth < :depth
) SELECT checkpoint, names, task, body FROM line CROSS JOIN task_writes ON lane = :lane AND checkpoint = line.id
ORDER BY depth DESC, no
"""
_ENDLESS = 2**62
_PARTS = (("checkpoints", "body"), ("task_writes", "body"), ("bases", "raw"))


@dataclass(frozen=True)
class ThreadNamespace:
    """Whose checkpoints: a thread, and the namespace of a subgraph in it ("" for the graph itself)."""

    thread_id: str
    namespace: str = ""


@dataclass(frozen=True)
class CheckpointBytes:
    """A checkpoint as it is kept."""

    id: str
    parent: str | None
    raw: bytes


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint's place in its branch."""

    id: str
    parent: str | None
    source: str
    """input, loop, update or fork."""
    step: int
    channels: frozenset[str]
    """The channels whose values it holds."""


@dataclass(frozen=True)
class TaskBytes:
    """The writes that a task made at a checkpoint."""

    checkpoint_id: str
    task_id: str
    raw: bytes
    channels: frozenset[str] = frozenset()
    """The channels written to; left out when read back."""


class Checkpoints:
    """What can be asked of checkpoints without reading what is in them, hence without langgraph."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sizes(self, thread_ids: Sequence[str] | None = None) -> dict[str, int]:
        """Bytes that the checkpoints of these threads take, or of all, by thread."""
        named = None if thread_ids is None else json.dumps(list(thread_ids))

        def add_up(connection: sqlite3.Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            for table, column in _PARTS:
                query = (
                    f"SELECT thread_id, sum(length({column})) FROM lanes CROSS JOIN {table} ON lane = lanes.no "  # noqa: S608  constants only
                    "WHERE :named IS NULL OR thread_id IN (SELECT value FROM json_each(:named)) GROUP BY thread_id"
                )
                for thread_id, count in connection.execute(query, {"named": named}):
                    found[thread_id] = found.get(thread_id, 0) + count
            return found

        return await self._database.read(add_up)

    async def line(self, thread_id: str, checkpoint_id: str | None = None) -> Sequence[CheckpointRef]:
        """A checkpoint (the newest when None is given) and its ancestors, newest first; empty when there is none."""
        lane = ThreadNamespace(thread_id)

        def follow(connection: sqlite3.Connection) -> Sequence[CheckpointRef]:
            start = checkpoint_id or newest_id(connection, lane)
            return list(line(connection, lane, start)) if start else []

        return await self._database.read(follow)


def save_checkpoint(connection: sqlite3.Connection, lane: ThreadNamespace, link: CheckpointRef, raw: bytes) -> None:
    """Add a checkpoint, or put it in the place of the one with its id."""
    number = _number_of_lane(connection, lane)
    base, body = _against_base(connection, number, raw, renew=link.step % _BASE_STEPS == 0)
    parent = pack_id(link.parent) if link.parent else None
    names = _number_of_names(connection, link.channels)
    connection.execute(
        "INSERT INTO checkpoints (lane, id, parent, source, step, names, base, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (lane, id) DO UPDATE SET parent = excluded.parent, source = excluded.source, "
        "step = excluded.step, names = excluded.names, base = excluded.base, body = excluded.body",
        (number, pack_id(link.id), parent, link.source, link.step, names, base, body),
    )


def save_writes(connection: sqlite3.Connection, lane: ThreadNamespace, tasks: Sequence[TaskBytes]) -> None:
    """Add the writes of tasks."""
    number = _number_of_lane(connection, lane)
    for task in tasks:
        names = _number_of_names(connection, task.channels)
        connection.execute(
            "INSERT INTO task_writes (lane, checkpoint, task, names, body) VALUES (?, ?, ?, ?, ?)",
            (number, pack_id(task.checkpoint_id), pack_id(task.task_id), names, deflate(task.raw, TASK_DICTIONARY)),
        )


def load_checkpoint(connection: sqlite3.Connection, lane: ThreadNamespace, id: str | None) -> CheckpointBytes | None:
    """The checkpoint with this id, or the newest one when None is given; None when there is none."""
    return next(load_checkpoints(connection, lane, id=id), None)


def load_checkpoints(
    connection: sqlite3.Connection, lane: ThreadNamespace, *, id: str | None = None, before: str | None = None
) -> Iterator[CheckpointBytes]:
    """The checkpoints of a lane, newest first: all, the one with this id, or those before one."""
    wheres = ""
    values: list[int | bytes | str] = [find_namespace(connection, lane)]
    for where, wanted in (("id = ?", id), ("id < ?", before)):
        if wanted:
            wheres += f" AND {where}"
            values.append(pack_id(wanted))
    for found, parent, base, body in connection.execute(f"{_CHECKPOINT}{wheres} ORDER BY id DESC", values):
        yield CheckpointBytes(unpack_id(found), unpack_id(parent) if parent else None, inflate(body, base))


def load_writes(connection: sqlite3.Connection, lane: ThreadNamespace, checkpoint_id: str) -> list[TaskBytes]:
    """The writes made at a checkpoint, in the order they came."""
    query = "SELECT checkpoint, task, body FROM task_writes WHERE lane = ? AND checkpoint = ? ORDER BY no"
    rows = connection.execute(query, (find_namespace(connection, lane), pack_id(checkpoint_id)))
    return [_task(*found) for found in rows]


def load_line_writes(
    connection: sqlite3.Connection, lane: ThreadNamespace, from_id: str, depth: int, channels: Collection[str]
) -> Iterator[tuple[str, list[TaskBytes]]]:
    """The writes made at a checkpoint and at `depth` ancestors of it, oldest first, where any was to `channels`."""
    wanted = {number for number, names in name_sets(connection).items() if not names.isdisjoint(channels)}
    values = {"lane": find_namespace(connection, lane), "id": pack_id(from_id), "depth": depth}
    for checkpoint, found in groupby(connection.execute(_LINE_WRITES, values), key=itemgetter(0)):
        rows = list(found)
        if any(names in wanted for _, names, _, _ in rows):
            yield unpack_id(checkpoint), [_task(checkpoint, task, body) for _, _, task, body in rows]


def line(connection: sqlite3.Connection, lane: ThreadNamespace, checkpoint_id: str) -> Iterator[CheckpointRef]:
    """A checkpoint and its ancestors, newest first."""
    sets, seen = name_sets(connection), set[bytes | str]()
    values = {"lane": find_namespace(connection, lane), "id": pack_id(checkpoint_id), "depth": _ENDLESS}
    for id, parent, source, step, names in connection.execute(_LINE, values):
        if id in seen:  # a checkpoint put again under its own descendant closes the line to a ring
            return
        seen.add(id)
        yield CheckpointRef(unpack_id(id), unpack_id(parent) if parent else None, source, step, sets[names])


def newest_id(connection: sqlite3.Connection, lane: ThreadNamespace) -> str | None:
    """The id of the newest checkpoint, or None."""
    query = "SELECT max(id) FROM checkpoints WHERE lane = ?"
    (newest,) = connection.execute(query, (find_namespace(connection, lane),)).fetchone()
    return unpack_id(newest) if newest else None


def namespaces_of(connection: sqlite3.Connection, thread_id: str | None) -> list[ThreadNamespace]:
    """The lanes of a thread, or all when None is given."""
    query = "SELECT thread_id, namespace FROM lanes WHERE :thread IS NULL OR thread_id = :thread"
    return [ThreadNamespace(*found) for found in connection.execute(query, {"thread": thread_id})]


def delete_checkpoints(connection: sqlite3.Connection, thread_id: str) -> None:
    """Forget all checkpoints of a thread and what was written at them."""
    for table in ("checkpoints", "bases", "task_writes"):
        statement = f"DELETE FROM {table} WHERE lane IN (SELECT no FROM lanes WHERE thread_id = ?)"  # noqa: S608  constants only
        connection.execute(statement, (thread_id,))
    connection.execute("DELETE FROM lanes WHERE thread_id = ?", (thread_id,))


def _task(checkpoint: bytes | str, task: bytes | str, body: bytes) -> TaskBytes:
    return TaskBytes(unpack_id(checkpoint), unpack_id(task), inflate(body, TASK_DICTIONARY))


def find_namespace(connection: sqlite3.Connection, lane: ThreadNamespace) -> int:
    """The number of a lane, 0 for one without checkpoints."""
    query = "SELECT no FROM lanes WHERE thread_id = ? AND namespace = ?"
    found = connection.execute(query, (lane.thread_id, lane.namespace)).fetchone()
    return found[0] if found else 0


def _number_of_lane(connection: sqlite3.Connection, lane: ThreadNamespace) -> int:
    statement = "INSERT INTO lanes (thread_id, namespace) VALUES (?, ?)"
    return find_namespace(connection, lane) or _inserted(connection, statement, lane.thread_id, lane.namespace)


def name_sets(connection: sqlite3.Connection) -> dict[int, frozenset[str]]:
    """The sets of channel names by their numbers."""
    rows = connection.execute("SELECT no, names FROM name_sets")
    return {number: frozenset(json.loads(names)) for number, names in rows}


def _number_of_names(connection: sqlite3.Connection, names: Collection[str]) -> int:
    """The number of a set of channel names; there are a few dozen sets, used again and again."""
    text = json.dumps(sorted(names), separators=(",", ":"))
    found = connection.execute("SELECT no FROM name_sets WHERE names = ?", (text,)).fetchone()
    return found[0] if found else _inserted(connection, "INSERT INTO name_sets (names) VALUES (?)", text)


def _against_base(connection: sqlite3.Connection, lane: int, raw: bytes, *, renew: bool) -> tuple[int, bytes]:
    """The number of the lane's newest base and the difference to it; a poor difference makes a new base."""
    query = "SELECT no, raw FROM bases WHERE lane = ? ORDER BY no DESC LIMIT 1"
    found = None if renew else connection.execute(query, (lane,)).fetchone()
    if found:
        body = deflate(raw, found[1])
        if len(body) <= max(_POOR, len(raw) // 6):
            return found[0], body
    base = as_base(raw)
    number = _inserted(connection, "INSERT INTO bases (lane, raw) VALUES (?, ?)", lane, base)
    return number, deflate(raw, base)


def _inserted(connection: sqlite3.Connection, statement: str, *values: str | int | bytes) -> int:
    return connection.execute(statement, values).lastrowid or 0
