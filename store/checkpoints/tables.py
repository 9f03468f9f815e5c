"""Queries about stored checkpoints that do not decode them: their order, their sizes, and their deletion."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from ml_intern.store.checkpoints.packing import pack_id, unpack_id
from ml_intern.store.checkpoints.rows import (
    CheckpointRef,
    ThreadNamespace,
    delete_checkpoints,
    find_namespace,
    latest_id,
    load_lineage,
    name_sets,
)
from ml_intern.store.connection import SqlConnection, ThreadDatabase

_PARTS = (("checkpoints", "body"), ("task_writes", "body"), ("bases", "raw"))


class CheckpointTables(Protocol):
    """The tables of a checkpointer."""

    async def sizes(self, thread_ids: Sequence[str] | None = None) -> dict[str, int]:
        """Return the stored bytes of checkpoints per thread, for these threads or for all."""
        ...

    async def lineage(self, thread_id: str, checkpoint_id: str | None = None) -> Sequence[CheckpointRef]:
        """Return a checkpoint (the latest for None) and its ancestors, latest first; empty if it does not exist."""
        ...

    async def all_of(self, thread_id: str) -> dict[str, CheckpointRef]:
        """Return every checkpoint of a thread by id, including those of abandoned branches."""
        ...

    async def bytes_without(self, thread_id: str, keep: Collection[str]) -> int:
        """Return the bytes that deleting all other checkpoints of the thread would free."""
        ...

    async def delete_others(self, thread_id: str, refs: Mapping[str, CheckpointRef], keep: Collection[str]) -> None:
        """Delete every checkpoint in `refs` that is not in `keep`, in one transaction.

        A checkpoint whose parent is deleted gets its nearest kept ancestor as parent. The oldest one keeps its parent
        id, which identifies it across copies. The caller has locked the thread and ensured that no kept checkpoint
        needs the writes of a deleted one.
        """
        ...

    async def shrink(self) -> int:
        """Return unused space to the file system and return the bytes freed. Raises DiskFull, TemporaryError."""
        ...

    def without_row(self, connection: SqlConnection) -> Sequence[str]:
        """Return the threads that have checkpoints but no row in the table of threads."""
        ...

    def line_of(
        self, connection: SqlConnection, thread_id: str, checkpoint_id: str | None = None
    ) -> Sequence[CheckpointRef]:
        """Return what `lineage` does, within a transaction."""
        ...

    def delete(self, connection: SqlConnection, thread_id: str) -> None:
        """Delete all checkpoints of a thread within a transaction."""
        ...


def lineage_of(refs: Mapping[str, CheckpointRef], id: str | None) -> Iterator[CheckpointRef]:
    """Yield a checkpoint and its ancestors, latest first."""
    seen = set[str]()
    while id is not None and id not in seen and (ref := refs.get(id)) is not None:
        seen.add(id)
        yield ref
        id = ref.parent


def moved_parents(refs: Mapping[str, CheckpointRef], keep: Collection[str]) -> list[tuple[str, str]]:
    """Return the kept checkpoints whose parent is not kept, each with its nearest kept ancestor, if there is one."""
    moved = [id for id in keep if (refs[id].parent or id) not in keep]
    lines = ((id, (one.id for one in lineage_of(refs, id) if one.id in keep and one.id != id)) for id in moved)
    return [(id, parent) for id, line in lines if (parent := next(line, ""))]


class Checkpoints:
    """The checkpoint tables in SQLite."""

    def __init__(self, database: "ShrinkableDatabase") -> None:
        self._database = database

    async def sizes(self, thread_ids: Sequence[str] | None = None) -> dict[str, int]:
        """See `CheckpointTables`."""
        named = None if thread_ids is None else json.dumps(list(thread_ids))

        def add_up(connection: SqlConnection) -> dict[str, int]:
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

    async def lineage(self, thread_id: str, checkpoint_id: str | None = None) -> Sequence[CheckpointRef]:
        """See `CheckpointTables`."""
        return await self._database.read(lambda connection: self.line_of(connection, thread_id, checkpoint_id))

    async def all_of(self, thread_id: str) -> dict[str, CheckpointRef]:
        """See `CheckpointTables`."""

        def select(connection: SqlConnection) -> dict[str, CheckpointRef]:
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

        return await self._database.read(select)

    async def bytes_without(self, thread_id: str, keep: Collection[str]) -> int:
        """See `CheckpointTables`."""
        kept_ids = {pack_id(id) for id in keep}

        def add_up(connection: SqlConnection) -> int:
            number = (find_namespace(connection, ThreadNamespace(thread_id)),)
            rows = list(connection.execute("SELECT id, length(body), base FROM checkpoints WHERE lane = ?", number))
            writes = connection.execute("SELECT checkpoint, length(body) FROM task_writes WHERE lane = ?", number)
            bases = connection.execute("SELECT no, length(raw) FROM bases WHERE lane = ?", number)
            used = {base for id, _, base in rows if id in kept_ids}
            deleted = [size for id, size, _ in rows if id not in kept_ids]
            deleted += [size for id, size in writes if id not in kept_ids]
            return int(sum(deleted) + sum(size for no, size in bases if no not in used))

        return await self._database.read(add_up)

    async def delete_others(self, thread_id: str, refs: Mapping[str, CheckpointRef], keep: Collection[str]) -> None:
        """See `CheckpointTables`."""
        deleted = [pack_id(id) for id in refs if id not in keep]
        moved = moved_parents(refs, keep)

        def drop(connection: SqlConnection) -> None:
            number = find_namespace(connection, ThreadNamespace(thread_id))
            for table, column in (("checkpoints", "id"), ("task_writes", "checkpoint")):
                statement = f"DELETE FROM {table} WHERE lane = ? AND {column} = ?"  # noqa: S608  constants only
                connection.executemany(statement, [(number, id) for id in deleted])
            parents = [(pack_id(parent), number, pack_id(id)) for id, parent in moved]
            connection.executemany("UPDATE checkpoints SET parent = ? WHERE lane = ? AND id = ?", parents)
            unused = (
                "DELETE FROM bases WHERE lane = :lane AND no NOT IN (SELECT base FROM checkpoints WHERE lane = :lane)"
            )
            connection.execute(unused, {"lane": number})

        await self._database.write(drop)

    async def shrink(self) -> int:
        """See `CheckpointTables`."""
        return await self._database.vacuum()

    def without_row(self, connection: SqlConnection) -> Sequence[str]:
        """See `CheckpointTables`."""
        query = "SELECT thread_id FROM lanes WHERE namespace = '' AND thread_id NOT IN (SELECT id FROM threads)"
        return [id for (id,) in connection.execute(query)]

    def line_of(
        self, connection: SqlConnection, thread_id: str, checkpoint_id: str | None = None
    ) -> Sequence[CheckpointRef]:
        """See `CheckpointTables`."""
        namespace = ThreadNamespace(thread_id)
        start = checkpoint_id or latest_id(connection, namespace)
        return list(load_lineage(connection, namespace, start)) if start else []

    def delete(self, connection: SqlConnection, thread_id: str) -> None:
        """See `CheckpointTables`."""
        delete_checkpoints(connection, thread_id)


class ShrinkableDatabase(ThreadDatabase, Protocol):
    """A database whose file can be shrunk."""

    async def vacuum(self) -> int:
        """Return unused space to the file system and return the bytes freed. Raises DiskFull, TemporaryError."""
        ...
