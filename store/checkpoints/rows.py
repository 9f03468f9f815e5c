"""The checkpoint tables: a checkpoint is stored as the difference to a base, the writes of a task as one row.

The saver encodes and decodes the bytes. This module does not import langgraph.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from ml_intern.store.checkpoints.packing import (
    TASK_DICTIONARY,
    compression_dictionary,
    deflate,
    inflate,
    pack_id,
    unpack_id,
)
from ml_intern.store.connection import SqlConnection

_MAX_DIFFERENCE = 200
"""A difference larger than this, and than a sixth of the checkpoint, is stored with a new base."""
_BASE_STEPS = 128
"""Graph steps after which a new base is started; measured, 64 and 256 give sizes within 5 %."""

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


@dataclass(frozen=True)
class ThreadNamespace:
    """A thread, and the checkpoint namespace of a subgraph in it ("" for the main graph)."""

    thread_id: str
    checkpoint_ns: str = ""


@dataclass(frozen=True)
class CheckpointBytes:
    """A checkpoint in its stored form."""

    id: str
    parent: str | None
    raw: bytes


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint's position in its branch."""

    id: str
    parent: str | None
    source: str
    """input, loop, update or fork."""
    step: int
    channels: frozenset[str]
    """The channels with values in the checkpoint."""


@dataclass(frozen=True)
class TaskBytes:
    """The writes of a task at a checkpoint."""

    checkpoint_id: str
    task_id: str
    raw: bytes
    channels: frozenset[str] = frozenset()
    """The written channels; empty when read from the database."""
    messages: tuple[str, ...] = ()
    """The ids of the written user messages, which are no longer queued; empty when read from the database."""


def save_checkpoint(connection: SqlConnection, namespace: ThreadNamespace, ref: CheckpointRef, raw: bytes) -> None:
    """Insert a checkpoint or replace the one with the same id."""
    number = _namespace_number(connection, namespace)
    base, body = _against_base(connection, number, raw, renew=ref.step % _BASE_STEPS == 0)
    parent = pack_id(ref.parent) if ref.parent else None
    names = _number_of_names(connection, ref.channels)
    connection.execute(
        "INSERT INTO checkpoints (lane, id, parent, source, step, names, base, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (lane, id) DO UPDATE SET parent = excluded.parent, source = excluded.source, "
        "step = excluded.step, names = excluded.names, base = excluded.base, body = excluded.body",
        (number, pack_id(ref.id), parent, ref.source, ref.step, names, base, body),
    )


def save_writes(connection: SqlConnection, namespace: ThreadNamespace, tasks: Sequence[TaskBytes]) -> None:
    """Insert the writes of tasks."""
    number = _namespace_number(connection, namespace)
    for task in tasks:
        names = _number_of_names(connection, task.channels)
        connection.execute(
            "INSERT INTO task_writes (lane, checkpoint, task, names, body) VALUES (?, ?, ?, ?, ?)",
            (number, pack_id(task.checkpoint_id), pack_id(task.task_id), names, deflate(task.raw, TASK_DICTIONARY)),
        )


def load_checkpoint(connection: SqlConnection, namespace: ThreadNamespace, id: str | None) -> CheckpointBytes | None:
    """Return the checkpoint with this id (the latest for None), or None if it does not exist."""
    return next(load_checkpoints(connection, namespace, id=id), None)


def load_checkpoints(
    connection: SqlConnection, namespace: ThreadNamespace, *, id: str | None = None, before: str | None = None
) -> Iterator[CheckpointBytes]:
    """Yield checkpoints, latest first: all, the one with this id, or those before one."""
    wheres = ""
    values: list[int | bytes | str] = [find_namespace(connection, namespace)]
    for where, value in (("id = ?", id), ("id < ?", before)):
        if value:
            wheres += f" AND {where}"
            values.append(pack_id(value))
    for found, parent, base, body in connection.execute(f"{_CHECKPOINT}{wheres} ORDER BY id DESC", values):
        yield CheckpointBytes(unpack_id(found), unpack_id(parent) if parent else None, inflate(body, base))


def load_writes(connection: SqlConnection, namespace: ThreadNamespace, checkpoint_id: str) -> list[TaskBytes]:
    """Return the writes made at a checkpoint in order of insertion."""
    query = "SELECT checkpoint, task, body FROM task_writes WHERE lane = ? AND checkpoint = ? ORDER BY no"
    rows = connection.execute(query, (find_namespace(connection, namespace), pack_id(checkpoint_id)))
    return [_task(*found) for found in rows]


def load_all_writes(connection: SqlConnection, namespace: ThreadNamespace) -> list[TaskBytes]:
    """Return all writes of a thread's namespace in order of insertion."""
    query = "SELECT checkpoint, task, body FROM task_writes WHERE lane = ? ORDER BY no"
    return [_task(*found) for found in connection.execute(query, (find_namespace(connection, namespace),))]


def load_lineage_writes(
    connection: SqlConnection, namespace: ThreadNamespace, from_id: str, depth: int, channels: Collection[str]
) -> Iterator[tuple[str, list[TaskBytes]]]:
    """Yield the writes at a checkpoint and `depth` ancestors, oldest first, if any of them is to `channels`."""
    matching = {number for number, names in name_sets(connection).items() if not names.isdisjoint(channels)}
    values = {"lane": find_namespace(connection, namespace), "id": pack_id(from_id), "depth": depth}
    for checkpoint, found in groupby(connection.execute(_LINE_WRITES, values), key=itemgetter(0)):
        rows = list(found)
        if any(names in matching for _, names, _, _ in rows):
            yield unpack_id(checkpoint), [_task(checkpoint, task, body) for _, _, task, body in rows]


def load_lineage(connection: SqlConnection, namespace: ThreadNamespace, checkpoint_id: str) -> Iterator[CheckpointRef]:
    """Yield a checkpoint and its ancestors, latest first."""
    sets, seen = name_sets(connection), set[bytes | str]()
    values = {"lane": find_namespace(connection, namespace), "id": pack_id(checkpoint_id), "depth": _ENDLESS}
    for id, parent, source, step, names in connection.execute(_LINE, values):
        if id in seen:  # saving a checkpoint again below its own descendant creates a cycle
            return
        seen.add(id)
        yield CheckpointRef(unpack_id(id), unpack_id(parent) if parent else None, source, step, sets[names])


def latest_id(connection: SqlConnection, namespace: ThreadNamespace) -> str | None:
    """Return the id of the latest checkpoint, or None."""
    query = "SELECT max(id) FROM checkpoints WHERE lane = ?"
    (latest,) = connection.execute(query, (find_namespace(connection, namespace),)).fetchone()
    return unpack_id(latest) if latest else None


def list_namespaces(connection: SqlConnection, thread_id: str | None) -> list[ThreadNamespace]:
    """Return the namespaces of a thread (of all threads for None)."""
    query = "SELECT thread_id, namespace FROM lanes WHERE :thread IS NULL OR thread_id = :thread"
    return [ThreadNamespace(*found) for found in connection.execute(query, {"thread": thread_id})]


def delete_checkpoints(connection: SqlConnection, thread_id: str) -> None:
    """Delete all checkpoints of a thread and their writes."""
    for table in ("checkpoints", "bases", "task_writes"):
        statement = f"DELETE FROM {table} WHERE lane IN (SELECT no FROM lanes WHERE thread_id = ?)"  # noqa: S608  constants only
        connection.execute(statement, (thread_id,))
    connection.execute("DELETE FROM lanes WHERE thread_id = ?", (thread_id,))


def _task(checkpoint: bytes | str, task: bytes | str, body: bytes) -> TaskBytes:
    return TaskBytes(unpack_id(checkpoint), unpack_id(task), inflate(body, TASK_DICTIONARY))


def find_namespace(connection: SqlConnection, namespace: ThreadNamespace) -> int:
    """Return the row number of a namespace; 0 if it has no checkpoints."""
    query = "SELECT no FROM lanes WHERE thread_id = ? AND namespace = ?"
    found = connection.execute(query, (namespace.thread_id, namespace.checkpoint_ns)).fetchone()
    return found[0] if found else 0


def _namespace_number(connection: SqlConnection, namespace: ThreadNamespace) -> int:
    statement = "INSERT INTO lanes (thread_id, namespace) VALUES (?, ?)"
    return find_namespace(connection, namespace) or _inserted(
        connection, statement, namespace.thread_id, namespace.checkpoint_ns
    )


def name_sets(connection: SqlConnection) -> dict[int, frozenset[str]]:
    """Return the sets of channel names by number."""
    rows = connection.execute("SELECT no, names FROM name_sets")
    return {number: frozenset(json.loads(names)) for number, names in rows}


def _number_of_names(connection: SqlConnection, names: Collection[str]) -> int:
    """Return the number of a set of channel names. A few dozen sets recur."""
    text = json.dumps(sorted(names), separators=(",", ":"))
    found = connection.execute("SELECT no FROM name_sets WHERE names = ?", (text,)).fetchone()
    return found[0] if found else _inserted(connection, "INSERT INTO name_sets (names) VALUES (?)", text)


def _against_base(connection: SqlConnection, namespace: int, raw: bytes, *, renew: bool) -> tuple[int, bytes]:
    """Return the number of a base and the difference to it; a large difference starts a new base."""
    query = "SELECT no, raw FROM bases WHERE lane = ? ORDER BY no DESC LIMIT 1"
    found = None if renew else connection.execute(query, (namespace,)).fetchone()
    if found:
        body = deflate(raw, found[1])
        if len(body) <= max(_MAX_DIFFERENCE, len(raw) // 6):
            return found[0], body
    base = compression_dictionary(raw)
    number = _inserted(connection, "INSERT INTO bases (lane, raw) VALUES (?, ?)", namespace, base)
    return number, deflate(raw, base)


def _inserted(connection: SqlConnection, statement: str, *values: str | int | bytes) -> int:
    (number,) = connection.execute(f"{statement} RETURNING no", values).fetchone()
    return int(number)
