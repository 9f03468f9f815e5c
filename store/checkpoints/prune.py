"""Making the database small again: checkpoints nothing leads to any more go; sizes, backup, VACUUM.

Which checkpoints must stay is decided elsewhere, by what they mean. Here a kept one never loses its line.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from ml_intern.configs.errors import UsageError
from ml_intern.store.checkpoints.packing import pack_id, unpack_id
from ml_intern.store.checkpoints.rows import CheckpointRef, ThreadNamespace, find_namespace, name_sets
from ml_intern.store.database import Database


async def checkpoint_refs(database: Database, thread_id: str) -> dict[str, CheckpointRef]:
    """Every checkpoint of a thread by its id, those of abandoned branches too."""

    def select(connection: sqlite3.Connection) -> dict[str, CheckpointRef]:
        sets, lane = name_sets(connection), find_namespace(connection, ThreadNamespace(thread_id))
        rows = connection.execute("SELECT id, parent, source, step, names FROM checkpoints WHERE lane = ?", (lane,))
        return {
            unpack_id(id): CheckpointRef(
                unpack_id(id), unpack_id(parent) if parent else None, source, step, sets[names]
            )
            for id, parent, source, step, names in rows
        }

    return await database.read(select)


def line_of(checkpoint_refs: Mapping[str, CheckpointRef], id: str | None) -> Iterator[CheckpointRef]:
    """A checkpoint and its ancestors, newest first."""
    seen = set[str]()
    while id is not None and id not in seen and (link := checkpoint_refs.get(id)) is not None:
        seen.add(id)
        yield link
        id = link.parent


async def weight(database: Database, thread_id: str, keep: Collection[str]) -> int:
    """Bytes that dropping all other checkpoints of the thread would free."""
    kept = {pack_id(id) for id in keep}

    def add_up(connection: sqlite3.Connection) -> int:
        lane = find_namespace(connection, ThreadNamespace(thread_id))
        checkpoints = connection.execute("SELECT id, length(body), base FROM checkpoints WHERE lane = ?", (lane,))
        rows = list(checkpoints)
        writes = connection.execute("SELECT checkpoint, length(body) FROM task_writes WHERE lane = ?", (lane,))
        bases = connection.execute("SELECT no, length(raw) FROM bases WHERE lane = ?", (lane,))
        used = {base for id, _, base in rows if id in kept}
        gone = [size for id, size, _ in rows if id not in kept] + [size for id, size in writes if id not in kept]
        return int(sum(gone) + sum(size for no, size in bases if no not in used))

    return await database.read(add_up)


async def drop_others(
    database: Database, thread_id: str, checkpoint_refs: Mapping[str, CheckpointRef], keep: Collection[str]
) -> None:
    """Forget every checkpoint in `checkpoint_refs` that is not in `keep`, in one transaction.

    A kept one whose parent goes gets its nearest kept ancestor as parent; the oldest keeps the name of its own, by
    which it and its copies know each other. The caller has seen to it that no kept one needs the writes of one that
    goes, and holds the thread.
    """
    lane = ThreadNamespace(thread_id)
    gone = [pack_id(id) for id in checkpoint_refs if id not in keep]
    moved = [
        (id, _kept_parent(checkpoint_refs, id, keep)) for id in keep if (checkpoint_refs[id].parent or id) not in keep
    ]

    def drop(connection: sqlite3.Connection) -> None:
        number = find_namespace(connection, lane)
        for table, column in (("checkpoints", "id"), ("task_writes", "checkpoint")):
            statement = f"DELETE FROM {table} WHERE lane = ? AND {column} = ?"  # noqa: S608  constants only
            connection.executemany(statement, [(number, id) for id in gone])
        parents = [(pack_id(parent), number, pack_id(id)) for id, parent in moved if parent]
        connection.executemany("UPDATE checkpoints SET parent = ? WHERE lane = ? AND id = ?", parents)
        unused = "DELETE FROM bases WHERE lane = :lane AND no NOT IN (SELECT base FROM checkpoints WHERE lane = :lane)"
        connection.execute(unused, {"lane": number})

    await database.write(drop)


def _kept_parent(checkpoint_refs: Mapping[str, CheckpointRef], id: str, keep: Collection[str]) -> str | None:
    return next((link.id for link in line_of(checkpoint_refs, id) if link.id in keep and link.id != id), None)


async def vacuum(database: Database) -> int:
    """Give the space of what was deleted back to the disk; the bytes given back. Raises DiskFull, TemporaryError."""
    before = database.path.stat().st_size

    def rewrite(connection: sqlite3.Connection) -> None:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    await database.read(rewrite)
    return max(0, before - database.path.stat().st_size)


async def backup(database: Database, target: Path) -> int:
    """Write a whole and compact copy of the database for its owner alone; its bytes.

    Raises UsageError when the file is there already or cannot be made, and DiskFull.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except OSError as fault:
        raise UsageError(f"{target} cannot be made: {fault.strerror}", "name a file that is not there yet") from fault
    try:
        await database.read(lambda connection: connection.execute("VACUUM INTO ?", (str(target),)).fetchall())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target.stat().st_size
