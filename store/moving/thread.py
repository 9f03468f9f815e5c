"""Move a thread to another store: copy it, compare the copies, and only then remove it here."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from ml_intern.configs.errors import DatabaseUnusable, UsageError
from ml_intern.store.moving.checkpoints import copy_checkpoints, different_checkpoint
from ml_intern.store.moving.files import copy_folders, folders_of, missing_file, moved_paths, remove_folders
from ml_intern.store.moving.rows import ThreadRows, read_rows, same_rows, write_rows
from ml_intern.store.store import Store
from ml_intern.store.threads import ThreadRow


@dataclass(frozen=True)
class MovedThread:
    """A thread that was moved, with its sub-agents."""

    row: ThreadRow
    threads: int
    checkpoints: int
    files: int


async def move_thread(source: Store, target: Store, text: str, shared_files: Sequence[str] = ()) -> MovedThread:
    """Move the thread with this id, unique prefix or title, under the same id.

    `shared_files` are further folders of the data folder that the thread needs and that stay here, too.
    If this is killed, the thread is complete in at least one of the stores; the same call finishes the move.

    Raises:
        UsageError: there is no such thread, the target has another one with this id, or a run of it has not ended.
        ThreadLocked: the thread is running.
    """
    row = await source.threads.find(text)
    ids = [row.id, *await source.threads.children(row.id)]
    async with AsyncExitStack() as stack:
        for id in ids:
            await stack.enter_async_context(source.hold(id))
            if target.is_shared or source.home != target.home:  # else the lock is the same file
                await stack.enter_async_context(target.hold(id))
        return await _Move(source, target, row, ids, shared_files).run()


class _Move:
    """The move of one thread, which is locked in both stores."""

    def __init__(
        self, source: Store, target: Store, row: ThreadRow, ids: Sequence[str], shared_files: Sequence[str]
    ) -> None:
        self._source, self._target, self._row, self._ids = source, target, row, ids
        self._shared = shared_files
        self._copied = self._files = 0

    async def run(self) -> MovedThread:
        rows = await self._there(await read_rows(self._source, self._ids, self._row.folder))
        if rows.has_open_runs:
            raise UsageError(
                f"background runs of thread {self._row.id[:8]} have not ended",
                "wait for them with ml-intern jobs wait, or cancel them",
            )
        own = folders_of(self._ids, [run["id"] for run in rows.tables["runs"]])
        await self._copy_files([*own, *self._shared])
        if not await self._is_there(rows):
            for id in self._ids:
                await self._target.threads.delete_unlisted(id)
            self._copied = sum([await copy_checkpoints(self._source, self._target, id) for id in self._ids])
            await write_rows(self._target, rows)
        await self._compare(rows)
        await self._target.sync()
        await self._source.threads.delete(self._row.id)
        if self._source.home != self._target.home:
            await asyncio.to_thread(remove_folders, self._source.home, own)
        return MovedThread(self._row, len(self._ids), self._copied, self._files)

    async def _there(self, rows: ThreadRows) -> ThreadRows:
        """Return the rows with the target's paths, and with the options that a fork inherits from its parent."""
        source, target = self._source, self._target
        options = await source.threads.options(self._row.id)
        threads = [
            {**row, "options": row["options"] or (json.dumps(options) if options else None)}
            if row["id"] == self._row.id
            else row
            for row in rows.tables["threads"]
        ]
        runs = rows.tables["runs"]
        if source.home != target.home:
            runs = [moved_paths(run, source.home, target.home) for run in runs]
        return replace(rows, tables={**rows.tables, "threads": threads, "runs": runs})

    async def _copy_files(self, folders: Sequence[str]) -> None:
        source, target = self._source.home, self._target.home
        if source == target:
            return
        self._files = await asyncio.to_thread(copy_folders, source, target, folders)
        if missing := await asyncio.to_thread(missing_file, source, target, folders):
            raise DatabaseUnusable(f"{missing} was changed while it was copied", "nothing was removed; try again")

    async def _is_there(self, rows: ThreadRows) -> bool:
        """Return whether an earlier call copied everything. Raises UsageError for another thread with this id."""
        found = await self._target.threads.get(self._row.id)
        if found is None or (not found.title and not found.folder and found.created != self._row.created):
            return False  # not there, or only checkpoints of a copy that was cut off
        if found.created == self._row.created and same_rows(
            rows, await read_rows(self._target, self._ids, self._row.folder)
        ):
            return True
        raise UsageError(
            f"thread {self._row.id[:8]} exists there too, and is not the same",
            "continue one of them, and delete the other with ml-intern threads delete",
        )

    async def _compare(self, rows: ThreadRows) -> None:
        """Raise DatabaseUnusable if the copy is not complete."""
        copied = await read_rows(self._target, self._ids, self._row.folder)
        different = [await different_checkpoint(self._source, self._target, id) for id in self._ids]
        if any(different) or not same_rows(rows, copied):
            what = next((f"checkpoint {id}" for id in different if id), "its rows")
            raise DatabaseUnusable(
                f"the copy of thread {self._row.id[:8]} is not like the original ({what})",
                "nothing was removed here; delete the copy and report this",
            )
