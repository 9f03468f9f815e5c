"""Pruning: old threads are deleted, long ones lose what no undo leads to, the database shrinks."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ThreadLocked
from ml_intern.session.protocol import PruneRequest, PruneStep, Pruning
from ml_intern.session.thread import resting_turns
from ml_intern.session.turns.thinning import plan_thinning, thin
from ml_intern.snapshots.prune import count_snapshots, delete_snapshots, folder_size
from ml_intern.store.checkpoints.prune import backup, vacuum
from ml_intern.text.formatting import size

if TYPE_CHECKING:
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow


@dataclass
class _Work:
    """What was found or done so far."""

    steps: list[PruneStep] = field(default_factory=list[PruneStep])
    held: list[str] = field(default_factory=list[str])
    snapshots: int = 0
    notes: list[str] = field(default_factory=list[str])
    freed: int = 0


async def prune(store: "Store", request: PruneRequest, *, do_it: bool) -> Pruning:
    """Delete old threads, thin out long ones, and shrink the database; or find out what would go."""
    done = _Work()
    if do_it and request.backup:
        done.notes.append(
            f"copied the database to {request.backup} ({size(await backup(store.database, Path(request.backup)))})"
        )
    gone = await _delete_old(store, request, done, do_it=do_it)
    await _thin_long(store, request, gone, done, do_it=do_it)
    await _forget(store, gone, done, do_it=do_it)
    if do_it:
        done.freed += await vacuum(store.database)
    return Pruning(tuple(done.steps), tuple(done.held), done.snapshots, tuple(done.notes), done.freed)


async def _delete_old(store: "Store", request: PruneRequest, done: _Work, *, do_it: bool) -> set[str]:
    """Delete the threads that are too old; the ids that went, or would go, those of sub-agents' threads too."""
    gone = set[str]()
    if request.older_than is None:
        return gone
    oldest, found = time.time() - request.older_than, await store.checkpoints.sizes()
    rows = await store.threads.list(children=True)
    for row in [row for row in rows if not row.child][request.keep :]:
        if row.updated >= oldest:
            continue
        family = [row.id, *_below(rows, row.id)]
        try:
            files = sum([await asyncio.to_thread(_artifacts, store, id) for id in family])
            if do_it:
                await store.delete(row.id)
            else:
                async with store.hold(row.id):
                    pass
        except ThreadLocked:
            done.held.append(row.id)
            continue
        gone.update(family)
        done.freed += files if do_it else 0
        done.steps.append(_step(row, "delete", sum(found.get(id, 0) for id in family) + files))
    return gone


def _below(rows: "Sequence[ThreadRow]", id: str) -> list[str]:
    """The threads of sub-agents under a thread."""
    own = [row.id for row in rows if row.child and row.parent == id]
    return [*own, *(deeper for child in own for deeper in _below(rows, child))]


def _artifacts(store: "Store", id: str) -> int:
    return folder_size(store.home / "artifacts" / id)


async def _thin_long(store: "Store", request: PruneRequest, gone: set[str], done: _Work, *, do_it: bool) -> None:
    left = gone | set(done.held)
    found = await store.checkpoints.sizes()
    for row in await store.threads.list(children=True):
        if row.id in left or found.get(row.id, 0) <= request.larger_than:
            continue
        try:
            async with store.hold(row.id):
                await _thin(store, row, done, do_it=do_it)
        except ThreadLocked:
            done.held.append(row.id)


async def _thin(store: "Store", row: "ThreadRow", done: _Work, *, do_it: bool) -> None:
    turns = await resting_turns(store, row.id, row.folder)
    plan = await plan_thinning(turns, row.redo)
    if len(plan.keep) == len(plan.checkpoint_refs):
        return
    if do_it:
        await thin(turns, plan)
    done.steps.append(_step(row, "thin out", plan.freed))


async def _forget(store: "Store", gone: set[str], done: _Work, *, do_it: bool) -> None:
    """Let go of the files that snapshots keep for threads that are no more."""
    recorded = await asyncio.to_thread(count_snapshots, store.home)
    there = {row.id for row in await store.threads.list(children=True)} - gone
    done.snapshots = sum(count for thread, count in recorded.items() if thread not in there)
    if do_it:
        forgotten = await asyncio.to_thread(delete_snapshots, store.home, recorded.keys() - there)
        done.snapshots, done.freed = forgotten.snapshots, done.freed + forgotten.freed
        done.notes += forgotten.skipped


def _step(row: "ThreadRow", what: str, count: int) -> PruneStep:
    return PruneStep(row.id, row.title, row.updated, what, count)
