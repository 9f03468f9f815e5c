"""Find the latest checkpoint of a thread that is whole, with everything that loading it needs; delete later ones."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from ml_intern.configs.errors import DatabaseUnusable
from ml_intern.store.checkpoints.packing import TASK_DICTIONARY, id_timestamp, inflate, unpack_id
from ml_intern.store.checkpoints.rows import name_sets

HISTORY = "messages"
"""The channel whose value is in some checkpoints only. The others need the writes since the nearest of those."""
BODIES = {
    "checkpoints": "SELECT no, body, coalesce((SELECT raw FROM bases WHERE no = base), 'none') FROM checkpoints",
    "task_writes": "SELECT no, body, NULL FROM task_writes",
}
"""The tables with packed content: number, content, and what it was packed with."""
Id = bytes | str


@dataclass(frozen=True)
class _Step:
    """A checkpoint's place in its thread, and whether it can be read."""

    parent: Id | None
    source: str
    has_history: bool
    is_readable: bool


@dataclass(frozen=True)
class Cut:
    """A loss of a namespace: the checkpoints after one, or all."""

    thread_id: str
    lost: int
    last: float | None
    """The time of the last whole checkpoint; None if there is none."""


def unreadable_rows(connection: sqlite3.Connection, table: str) -> set[int]:
    """Return the numbers of the rows of a table whose content is damaged; none for a table without packed content."""
    query = BODIES.get(table)
    found = connection.execute(query) if query else ()
    return {no for no, body, base in found if not _unpacks(body, base or TASK_DICTIONARY)}


def replace_damaged_bases(connection: sqlite3.Connection, backup: sqlite3.Connection) -> None:
    """Replace each base by that of the backup if more checkpoints can be unpacked with it."""
    older = dict(backup.execute("SELECT no, raw FROM bases"))
    for no, raw in connection.execute("SELECT no, raw FROM bases").fetchall():
        before = older.get(no, raw)
        if before != raw and _unpacked_with(connection, no, before) > _unpacked_with(connection, no, raw):
            connection.execute("UPDATE bases SET raw = ? WHERE no = ?", (before, no))


def _unpacked_with(connection: sqlite3.Connection, base: int, raw: bytes) -> int:
    bodies = connection.execute("SELECT body FROM checkpoints WHERE base = ?", (base,))
    return sum(_unpacks(body, raw) for (body,) in bodies)


def cut_to_whole(connection: sqlite3.Connection) -> list[Cut]:
    """Delete the checkpoints after the latest whole one of each namespace. Return what was deleted."""
    sets = name_sets(connection)
    namespaces = connection.execute("SELECT no, thread_id, namespace FROM lanes").fetchall()
    return [
        cut
        for no, thread_id, namespace in namespaces
        if (cut := _cut(connection, no, thread_id, sets)) and not namespace
    ]


def _cut(connection: sqlite3.Connection, number: int, thread_id: str, sets: Mapping[int, frozenset[str]]) -> Cut | None:
    steps = _steps(connection, number, sets)
    written = _written(connection, number)
    known: dict[Id, bool] = {}
    latest_first = sorted(steps, key=_in_order, reverse=True)
    whole = next((id for id in latest_first if _is_whole(id, steps, written, known)), None)
    lost = latest_first[: latest_first.index(whole)] if whole is not None else latest_first
    if not lost:
        return None
    for table, column in (("checkpoints", "id"), ("task_writes", "checkpoint")):
        statement = f"DELETE FROM {table} WHERE lane = ? AND {column} = ?"  # noqa: S608  constants only
        connection.executemany(statement, [(number, id) for id in lost])
    if whole is None:
        connection.execute("DELETE FROM lanes WHERE no = ?", (number,))
    # What could be redone may be among what was deleted.
    connection.execute("UPDATE threads SET redo = ? WHERE id = ?", (json.dumps([]), thread_id))
    return Cut(thread_id, len(lost), id_timestamp(unpack_id(whole)) if whole is not None else None)


def _in_order(id: Id) -> tuple[bool, bytes]:
    """Return a sort key: SQLite sorts bytes after text."""
    return (isinstance(id, bytes), id if isinstance(id, bytes) else id.encode("utf-8", "surrogatepass"))


def _steps(connection: sqlite3.Connection, number: int, sets: Mapping[int, frozenset[str]]) -> dict[Id, _Step]:
    query = (
        "SELECT id, parent, source, names, (SELECT raw FROM bases WHERE no = base), body FROM checkpoints "
        "WHERE lane = ?"
    )
    return {
        id: _Step(parent, source, HISTORY in sets.get(names, ()), names in sets and _unpacks(body, base))
        for id, parent, source, names, base, body in connection.execute(query, (number,))
    }


def _written(connection: sqlite3.Connection, number: int) -> dict[Id, bool]:
    """Return the checkpoints with writes, and whether all of them can be read."""
    found: dict[Id, bool] = {}
    for id, body in connection.execute("SELECT checkpoint, body FROM task_writes WHERE lane = ?", (number,)):
        found[id] = found.get(id, True) and _unpacks(body, TASK_DICTIONARY)
    return found


def _unpacks(body: bytes, base: bytes | str | None) -> bool:
    if not isinstance(base, bytes):
        return False
    try:
        inflate(body, base)
    except DatabaseUnusable:
        return False
    return True


def _is_whole(id: Id, steps: Mapping[Id, _Step], written: Mapping[Id, bool], known: dict[Id, bool]) -> bool:
    """Return whether a checkpoint can be loaded: it, and its ancestors with their writes up to one with the history."""
    passed: list[Id] = []
    result, at = True, id
    while at not in known:
        step = steps.get(at)
        passed.append(at)
        if step is None or not step.is_readable:
            result = False
            break
        if step.has_history or step.parent is None:
            break
        if not written.get(step.parent, step.source != "loop"):
            result = False
            break
        at = step.parent
    result = result and known.get(at, True)
    for one in passed:
        known[one] = result
    return result and written.get(id, True)
