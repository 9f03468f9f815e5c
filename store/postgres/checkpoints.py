"""Queries about the checkpoints in the tables of langgraph-checkpoint-postgres, without decoding them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ml_intern.store.checkpoints.rows import CheckpointRef
from ml_intern.store.checkpoints.tables import lineage_of, moved_parents
from ml_intern.store.connection import SqlConnection, ThreadDatabase

_PARTS: Final = {
    "public.checkpoints": "pg_column_size(checkpoint) + pg_column_size(metadata)",
    "public.checkpoint_blobs": "coalesce(octet_length(blob), 0)",
    "public.checkpoint_writes": "octet_length(blob)",
}
_REFS: Final = (
    "SELECT checkpoint_id, parent_checkpoint_id, metadata ->> 'source', metadata ->> 'step', "
    "ARRAY(SELECT jsonb_object_keys(checkpoint -> 'channel_values')), "
    "ARRAY(SELECT used.key FROM jsonb_each_text(checkpoint -> 'channel_versions') AS used "
    "JOIN public.checkpoint_blobs AS blobs ON blobs.thread_id = checkpoints.thread_id AND blobs.checkpoint_ns = '' "
    "AND blobs.channel = used.key AND blobs.version = used.value WHERE blobs.type <> 'empty') "
    "FROM public.checkpoints AS checkpoints WHERE thread_id = ? AND checkpoint_ns = ''"
)
_UNUSED: Final = (
    "FROM public.checkpoint_blobs AS blobs WHERE thread_id = ? AND checkpoint_ns = '' AND NOT EXISTS ("
    "SELECT 1 FROM public.checkpoints AS users WHERE users.thread_id = blobs.thread_id AND users.checkpoint_ns = '' "
    "AND checkpoint -> 'channel_versions' ->> blobs.channel = blobs.version"
)
"""The values that no checkpoint uses; a further condition on the checkpoints, and a bracket, can follow."""
_FREED: Final = (
    "SELECT coalesce((SELECT sum(pg_column_size(checkpoint) + pg_column_size(metadata)) FROM public.checkpoints "  # noqa: S608  constants only
    "WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id <> ALL(?)), 0) "
    "+ coalesce((SELECT sum(octet_length(blob)) FROM public.checkpoint_writes "
    "WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id <> ALL(?)), 0) "
    f"+ coalesce((SELECT sum(octet_length(blob)) {_UNUSED} AND checkpoint_id = ANY(?))), 0)"
)
_EXISTS: Final = "SELECT to_regclass('public.checkpoint_writes') IS NOT NULL"


class PostgresCheckpoints:
    """The checkpoint tables in PostgreSQL. See `CheckpointTables`."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def sizes(self, thread_ids: Sequence[str] | None = None) -> dict[str, int]:
        """Return the stored bytes of checkpoints per thread, for these threads or for all."""

        def add_up(connection: SqlConnection) -> dict[str, int]:
            found: dict[str, int] = {}
            for table, size in _PARTS.items() if _exists(connection) else ():
                query = f"SELECT thread_id, sum({size}) FROM {table} {{}} GROUP BY thread_id"  # noqa: S608  constants only
                where, values = ("", ()) if thread_ids is None else ("WHERE thread_id = ANY(?)", (list(thread_ids),))
                for thread_id, count in connection.execute(query.format(where), values):
                    found[thread_id] = found.get(thread_id, 0) + int(count)
            return found

        return await self._database.read(add_up)

    async def lineage(self, thread_id: str, checkpoint_id: str | None = None) -> Sequence[CheckpointRef]:
        """Return a checkpoint (the latest for None) and its ancestors, latest first; empty if it does not exist."""
        return await self._database.read(lambda connection: self.line_of(connection, thread_id, checkpoint_id))

    async def all_of(self, thread_id: str) -> dict[str, CheckpointRef]:
        """Return every checkpoint of a thread by id, including those of abandoned branches."""
        return await self._database.read(lambda connection: _refs(connection, thread_id))

    async def bytes_without(self, thread_id: str, keep: Collection[str]) -> int:
        """Return the bytes that deleting all other checkpoints of the thread would free."""
        values = (thread_id, list(keep)) * 3
        return await self._database.read(lambda connection: int(connection.execute(_FREED, values).fetchone()[0]))

    async def delete_others(self, thread_id: str, refs: Mapping[str, CheckpointRef], keep: Collection[str]) -> None:
        """Delete every checkpoint in `refs` that is not in `keep`, in one transaction. See `CheckpointTables`."""
        deleted = [id for id in refs if id not in keep]
        moved = [(parent, thread_id, id) for id, parent in moved_parents(refs, keep)]

        def drop(connection: SqlConnection) -> None:
            for table in ("public.checkpoints", "public.checkpoint_writes"):
                statement = f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ANY(?)"  # noqa: S608  constants only
                connection.execute(statement, (thread_id, deleted))
            parent = (
                "UPDATE public.checkpoints SET parent_checkpoint_id = ? "
                "WHERE thread_id = ? AND checkpoint_ns = '' AND checkpoint_id = ?"
            )
            connection.executemany(parent, moved)
            connection.execute(f"DELETE {_UNUSED})", (thread_id,))

        await self._database.write(drop)

    async def shrink(self) -> int:
        """Return 0: PostgreSQL's autovacuum makes the space of deleted rows available again."""
        return 0

    def without_row(self, connection: SqlConnection) -> Sequence[str]:
        """Return the threads that have checkpoints but no row in the table of threads."""
        if not _exists(connection):
            return []
        query = "SELECT DISTINCT thread_id FROM public.checkpoints WHERE thread_id NOT IN (SELECT id FROM threads)"
        return [id for (id,) in connection.execute(query)]

    def line_of(
        self, connection: SqlConnection, thread_id: str, checkpoint_id: str | None = None
    ) -> Sequence[CheckpointRef]:
        """Return what `lineage` does, within a transaction."""
        refs = _refs(connection, thread_id)
        return list(lineage_of(refs, checkpoint_id or max(refs, default=None)))

    def delete(self, connection: SqlConnection, thread_id: str) -> None:
        """Delete all checkpoints of a thread within a transaction."""
        for table in _PARTS if _exists(connection) else ():
            connection.execute(f"DELETE FROM {table} WHERE thread_id = ?", (thread_id,))  # noqa: S608  constants only


def _exists(connection: SqlConnection) -> bool:
    """Return whether the saver has created its tables."""
    return bool(connection.execute(_EXISTS).fetchone()[0])


def _refs(connection: SqlConnection, thread_id: str) -> dict[str, CheckpointRef]:
    rows: Any = connection.execute(_REFS, (thread_id,)) if _exists(connection) else ()
    return {
        id: CheckpointRef(id, parent, source or "", int(step or 0), frozenset((*inline, *stored)))
        for id, parent, source, step, inline, stored in rows
    }
