"""`threads prune`: old threads go, long ones lose what nothing leads to, the file shrinks. First it only says so."""

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.opening.store import open_store
from ml_intern.commands.opening.thread import turns_of
from ml_intern.commands.options import seconds
from ml_intern.commands.output import JSON_HELP, columns, local_time, print_json, print_lines, size
from ml_intern.configs.errors import ThreadLocked, UsageError

if TYPE_CHECKING:
    from ml_intern.store.store import Store
    from ml_intern.store.threads import ThreadRow

_UNITS = {"": 1, "b": 1, "k": 1_000, "kb": 1_000, "kib": 1024, "m": 10**6, "mb": 10**6, "mib": 1024**2,
          "g": 10**9, "gb": 10**9, "gib": 1024**3}  # fmt: skip
SMALLEST = "1MB"


@dataclass(frozen=True)
class PruneOptions:
    """What the command line asks for: ages in seconds, sizes in bytes; None: no thread goes for its age."""

    older_than: float | None
    larger_than: int
    keep: int
    backup: Path | None = None


@dataclass(frozen=True)
class Step:
    """What goes of one thread: all of it, or what its undo does not need. `bytes` are freed, roughly."""

    id: str
    title: str
    updated: float
    what: str
    bytes: int


@dataclass
class Pruning:
    """What goes, or would go; which threads are left alone since a process holds them; what is left to say."""

    steps: list[Step] = field(default_factory=list[Step])
    held: list[str] = field(default_factory=list[str])
    snapshots: int = 0
    notes: list[str] = field(default_factory=list[str])
    freed: int = 0
    """Bytes that left the disk."""


def prune(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="DURATION", help="delete threads not used for so long: 90d")
    ] = None,
    larger_than: Annotated[
        str, typer.Option("--larger-than", metavar="SIZE", help="thin out threads above this: 500k, 10MB")
    ] = SMALLEST,
    keep: Annotated[int, typer.Option("--keep", metavar="N", min=0, help="the newest N are never deleted")] = 0,
    backup: Annotated[str | None, typer.Option("--backup", metavar="FILE", help="copy the database first")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without it, only say what would go")] = False,
    json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> int:
    """Make the thread database small: delete old threads, and thin out long ones.

    A thinned thread can be resumed, undone and redone as before: it loses what no undo leads to. What was spent stays
    in the ledger. Threads that a process holds are left alone.
    """
    wishes = PruneOptions(
        seconds(older_than) if older_than is not None else None,
        bytes_of(larger_than),
        keep,
        Path(backup).expanduser() if backup else None,
    )
    done = asyncio.run(_prune(wishes, do_it=yes))
    if json:
        return print_json({"done": yes, "bytes": sum(step.bytes for step in done.steps), **asdict(done)})
    return print_lines(_told(done, did_it=yes))


def bytes_of(text: str) -> int:
    """Bytes of a SIZE: a number with an optional unit, k, MB, GiB. UsageError otherwise."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError(f"{text!r} is no size", "give bytes, or 500k, 10MB, 1GiB")
    return int(float(found[1]) * _UNITS[found[2]])


async def _prune(wishes: PruneOptions, *, do_it: bool) -> Pruning:
    from ml_intern.store.checkpoints.prune import backup, vacuum

    async with open_store() as store:
        done = Pruning()
        if do_it and wishes.backup:
            done.notes.append(
                f"copied the database to {wishes.backup} ({size(await backup(store.database, wishes.backup))})"
            )
        gone = await _delete_old(store, wishes, done, do_it=do_it)
        await _thin_long(store, wishes, gone, done, do_it=do_it)
        await _forget(store, gone, done, do_it=do_it)
        if do_it:
            done.freed += await vacuum(store.database)
    return done


async def _delete_old(store: "Store", wishes: PruneOptions, done: Pruning, *, do_it: bool) -> set[str]:
    """Delete the threads that are too old; the ids that went, or would go, those of sub-agents' threads too."""
    gone = set[str]()
    if wishes.older_than is None:
        return gone
    oldest, found = time.time() - wishes.older_than, await store.checkpoints.sizes()
    rows = await store.threads.list(children=True)
    for row in [row for row in rows if not row.child][wishes.keep :]:
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
    from ml_intern.snapshots.prune import folder_size

    return folder_size(store.home / "artifacts" / id)


async def _thin_long(store: "Store", wishes: PruneOptions, gone: set[str], done: Pruning, *, do_it: bool) -> None:
    left = gone | set(done.held)
    found = await store.checkpoints.sizes()
    for row in await store.threads.list(children=True):
        if row.id in left or found.get(row.id, 0) <= wishes.larger_than:
            continue
        try:
            async with store.hold(row.id):
                await _thin(store, row, done, do_it=do_it)
        except ThreadLocked:
            done.held.append(row.id)


async def _thin(store: "Store", row: "ThreadRow", done: Pruning, *, do_it: bool) -> None:
    from ml_intern.session.turns.thinning import plan_thinning, thin

    turns = await turns_of(store, row.id, row.folder)
    plan = await plan_thinning(turns, row.redo)
    if len(plan.keep) == len(plan.checkpoint_refs):
        return
    if do_it:
        await thin(turns, plan)
    done.steps.append(_step(row, "thin out", plan.freed))


async def _forget(store: "Store", gone: set[str], done: Pruning, *, do_it: bool) -> None:
    """Let go of the files that snapshots keep for threads that are no more."""
    from ml_intern.snapshots.prune import count_snapshots, delete_snapshots

    recorded = await asyncio.to_thread(count_snapshots, store.home)
    there = {row.id for row in await store.threads.list(children=True)} - gone
    done.snapshots = sum(count for thread, count in recorded.items() if thread not in there)
    if do_it:
        forgotten = await asyncio.to_thread(delete_snapshots, store.home, recorded.keys() - there)
        done.snapshots, done.freed = forgotten.snapshots, done.freed + forgotten.freed
        done.notes += forgotten.skipped


def _step(row: "ThreadRow", what: str, count: int) -> Step:
    return Step(row.id, row.title, row.updated, what, count)


def _told(done: Pruning, *, did_it: bool) -> Iterable[str]:
    rows = [(step.id[:8], step.what, size(step.bytes), local_time(step.updated), step.title) for step in done.steps]
    if rows:
        yield from columns([("ID", "WHAT", "BYTES", "USED", "TITLE"), *rows])
    if done.snapshots:
        yield f"{done.snapshots} snapshots of files, of threads that are no more"
    yield from done.notes
    yield from (f"{id[:8]} is left alone: a process holds it" for id in done.held)
    if did_it:
        yield f"{size(done.freed)} given back to the disk"
    elif rows or done.snapshots:
        yield f"about {size(sum(step.bytes for step in done.steps))} would go; add --yes to do it"
    else:
        yield "nothing to prune"
