"""Reduction of the database's size: deletion of unreachable checkpoints, sizes, VACUUM.

Callers choose the checkpoints to keep. This module keeps their ancestry connected.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping

from ml_intern.store.checkpoints.packing import pack_id, unpack_id
from ml_intern.store.checkpoints.rows import CheckpointRef, ThreadNamespace, find_namespace, name_sets
from ml_intern.store.sqlite.database import Database


async def checkpoint_refs(database: Database, thread_id: str) -> dict[str, CheckpointRef]:
    """Return every checkpoint of a thread by id, including those of abandoned branches."""

    def select(connection: sqlite3.Connection) -> dict[str, CheckpointRef]:
        sets, namespace = name_sets(connection), find_namespace(connection, ThreadNamespace(thread_id))
        rows = connection.execute(
            "SELECT id, parent, source, step, names FROM checkpoints WHERE lane = ?", (namespace,)
        )
        return {
            unpack_id(id): CheckpointRef(
                unpack_id(id), unpack_id(parent) if parent else None, source, step, sets[names]
            )
            for id, parent, source, step, names in rows
        }

    return await database.read(select)


def lineage_of(checkpoint_refs: Mapping[str, CheckpointRef], id: str | None) -> Iterator[CheckpointRef]:
    """Yield a checkpoint and its ancestors, latest first."""
    seen = set[str]()
    while id is not None and id not in seen and (ref := checkpoint_refs.get(id)) is not None:
        seen.add(id)
        yield ref
        id = ref.parent


async def prunable_bytes(database: Database, thread_id: str, keep: Collection[str]) -> int:
    """Return the bytes that deleting all other checkpoints of the thread would free."""
    kept_ids = {pack_id(id) for id in keep}

    def add_up(connection: sqlite3.Connection) -> int:
        namespace = find_namespace(connection, ThreadNamespace(thread_id))
        checkpoints = connection.execute("SELECT id, length(body), base FROM checkpoints WHERE lane = ?", (namespace,))
        rows = list(checkpoints)
        writes = connection.execute("SELECT checkpoint, length(body) FROM task_writes WHERE lane = ?", (namespace,))
        bases = connection.execute("SELECT no, length(raw) FROM bases WHERE lane = ?", (namespace,))
        used = {base for id, _, base in rows if id in kept_ids}
        deleted = [size for id, size, _ in rows if id not in kept_ids]
        deleted += [size for id, size in writes if id not in kept_ids]
        return int(sum(deleted) + sum(size for no, size in bases if no not in used))

    return await database.read(add_up)


async def delete_other_checkpoints(
    database: Database, thread_id: str, checkpoint_refs: Mapping[str, CheckpointRef], keep: Collection[str]
) -> None:
    """Delete every checkpoint in `checkpoint_refs` that is not in `keep`, in one transaction.

    A checkpoint whose parent is deleted gets its nearest kept ancestor as parent. The oldest one keeps its parent id,
    which identifies it across copies. The caller has locked the thread and ensured that no kept checkpoint needs the
    writes of a deleted one.
    """
    namespace = ThreadNamespace(thread_id)
    deleted = [pack_id(id) for id in checkpoint_refs if id not in keep]
    moved = [
        (id, _nearest_kept_ancestor(checkpoint_refs, id, keep))
        for id in keep
        if (checkpoint_refs[id].parent or id) not in keep
    ]

    def drop(connection: sqlite3.Connection) -> None:
        number = find_namespace(connection, namespace)
        for table, column in (("checkpoints", "id"), ("task_writes", "checkpoint")):
            statement = f"DELETE FROM {table} WHERE lane = ? AND {column} = ?"  # noqa: S608  constants only
            connection.executemany(statement, [(number, id) for id in deleted])
        parents = [(pack_id(parent), number, pack_id(id)) for id, parent in moved if parent]
        connection.executemany("UPDATE checkpoints SET parent = ? WHERE lane = ? AND id = ?", parents)
        unused = "DELETE FROM bases WHERE lane = :lane AND no NOT IN (SELECT base FROM checkpoints WHERE lane = :lane)"
        connection.execute(unused, {"lane": number})

    await database.write(drop)


def _nearest_kept_ancestor(checkpoint_refs: Mapping[str, CheckpointRef], id: str, keep: Collection[str]) -> str | None:
    return next((ref.id for ref in lineage_of(checkpoint_refs, id) if ref.id in keep and ref.id != id), None)


async def vacuum(database: Database) -> int:
    """Return unused space to the file system and return the bytes freed. Raises DiskFull, TemporaryError."""
    before = database.path.stat().st_size

    def rewrite(connection: sqlite3.Connection) -> None:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    await database.read(rewrite)
    return max(0, before - database.path.stat().st_size)
