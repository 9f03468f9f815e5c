"""Delete old threads, remove from long ones what no undo or redo needs, and shrink the database."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import TemporaryError, ThreadLocked
from ml_intern.session.protocol import PruneRequest, PruneStep, Pruning
from ml_intern.session.thread import idle_turns
from ml_intern.session.turns.thinning import plan_thinning, thin
from ml_intern.snapshots.git import SnapshotError
from ml_intern.snapshots.prune import count_snapshots, delete_secrets, delete_snapshots, find_secrets, folder_size
from ml_intern.store.recovery.backups import copy_to
from ml_intern.text.formatting import size

if TYPE_CHECKING:
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow


@dataclass
class _Work:
    """The result so far."""

    steps: list[PruneStep] = field(default_factory=list[PruneStep])
    in_use: list[str] = field(default_factory=list[str])
    snapshots: int = 0
    secrets: Sequence[str] = ()
    notes: list[str] = field(default_factory=list[str])
    freed: int = 0


async def prune(store: "Store", request: PruneRequest, *, do_it: bool) -> Pruning:
    """Delete old threads, thin out long ones, and shrink the database; or, without `do_it`, only plan this."""
    done = _Work()
    if do_it and request.backup:
        copy = Path(request.backup)
        await asyncio.to_thread(copy_to, store.file_database().path, copy)
        done.notes.append(f"copied the database to {copy} ({size(copy.stat().st_size)})")
    deleted = await _delete_old(store, request, done, do_it=do_it)
    await _thin_long(store, request, deleted, done, do_it=do_it)
    await _delete_unused_snapshots(store, deleted, done, do_it=do_it)
    done.secrets = await secrets_in_snapshots(store)
    if do_it and done.secrets:
        result = await asyncio.to_thread(delete_secrets, store.home)
        done.freed += result.freed
        done.notes += result.skipped
    if do_it:
        done.freed += await store.checkpoints.shrink()
    return Pruning(
        tuple(done.steps), tuple(done.in_use), done.snapshots, tuple(done.secrets), tuple(done.notes), done.freed
    )


async def secrets_in_snapshots(store: "Store") -> Sequence[str]:
    """Return the files with secrets that older versions left in snapshots. Raises TemporaryError."""
    try:
        return await asyncio.to_thread(find_secrets, store.home)
    except (SnapshotError, OSError) as error:
        raise TemporaryError(f"the snapshots cannot be read: {error}", "try again") from error


async def _delete_old(store: "Store", request: PruneRequest, done: _Work, *, do_it: bool) -> set[str]:
    """Delete the threads that are too old. Return their ids and those of their sub-agents' threads."""
    deleted = set[str]()
    if request.older_than is None:
        return deleted
    oldest, found = time.time() - request.older_than, await store.checkpoints.sizes()
    rows = await store.threads.list(children=True)
    for row in [row for row in rows if not row.child][request.keep :]:
        if row.updated >= oldest:
            continue
        family = [row.id, *_descendants(rows, row.id)]
        try:
            files = sum([await asyncio.to_thread(_artifacts, store, id) for id in family])
            if do_it:
                await store.delete(row.id)
            else:
                async with store.hold(row.id):
                    pass
        except ThreadLocked:
            done.in_use.append(row.id)
            continue
        deleted.update(family)
        done.freed += files if do_it else 0
        done.steps.append(_step(row, "delete", sum(found.get(id, 0) for id in family) + files))
    return deleted


def _descendants(rows: "Sequence[ThreadRow]", id: str) -> list[str]:
    """Return the ids of the threads of a thread's sub-agents, at every depth."""
    children = [row.id for row in rows if row.child and row.parent == id]
    return [*children, *(deeper for child in children for deeper in _descendants(rows, child))]


def _artifacts(store: "Store", id: str) -> int:
    return folder_size(store.home / "artifacts" / id)


async def _thin_long(store: "Store", request: PruneRequest, deleted: set[str], done: _Work, *, do_it: bool) -> None:
    skipped = deleted | set(done.in_use)
    found = await store.checkpoints.sizes()
    for row in await store.threads.list(children=True):
        if row.id in skipped or found.get(row.id, 0) <= request.larger_than:
            continue
        try:
            async with store.hold(row.id):
                await _thin(store, row, done, do_it=do_it)
        except ThreadLocked:
            done.in_use.append(row.id)


async def _thin(store: "Store", row: "ThreadRow", done: _Work, *, do_it: bool) -> None:
    turns = await idle_turns(store, row.id, row.folder)
    plan = await plan_thinning(turns, row.redo)
    if len(plan.keep) == len(plan.checkpoint_refs):
        return
    if do_it:
        await thin(turns, plan)
    done.steps.append(_step(row, "thin out", plan.freed))


async def _delete_unused_snapshots(store: "Store", deleted: set[str], done: _Work, *, do_it: bool) -> None:
    """Delete the snapshots of threads that no longer exist."""
    recorded = await asyncio.to_thread(count_snapshots, store.home)
    existing = {row.id for row in await store.threads.list(children=True)} - deleted
    done.snapshots = sum(count for thread, count in recorded.items() if thread not in existing)
    if do_it:
        result = await asyncio.to_thread(delete_snapshots, store.home, recorded.keys() - existing)
        done.snapshots, done.freed = result.snapshots, done.freed + result.freed
        done.notes += result.skipped


def _step(row: "ThreadRow", what: str, count: int) -> PruneStep:
    return PruneStep(row.id, row.title, row.updated, what, count)
