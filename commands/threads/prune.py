"""`threads prune`: old threads go, long ones lose what nothing leads to, the file shrinks. First it only says so."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ml_intern.commands.options import seconds
from ml_intern.commands.output import JSON_HELP, columns, local_time, print_json, print_lines, size
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import UsageError
from ml_intern.session.protocol import PruneRequest, Pruning

_UNITS = {"": 1, "b": 1, "k": 1_000, "kb": 1_000, "kib": 1024, "m": 10**6, "mb": 10**6, "mib": 1024**2,
          "g": 10**9, "gb": 10**9, "gib": 1024**3}  # fmt: skip
SMALLEST = "1MB"


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
    request = PruneRequest(
        seconds(older_than) if older_than is not None else None,
        bytes_of(larger_than),
        keep,
        str(Path(backup).expanduser()) if backup else None,
    )
    done = asyncio.run(_prune(request, do_it=yes))
    if json:
        return print_json({"done": yes, "bytes": sum(step.bytes for step in done.steps), **asdict(done)})
    return print_lines(_told(done, did_it=yes))


def bytes_of(text: str) -> int:
    """Bytes of a SIZE: a number with an optional unit, k, MB, GiB. UsageError otherwise."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError(f"{text!r} is no size", "give bytes, or 500k, 10MB, 1GiB")
    return int(float(found[1]) * _UNITS[found[2]])


async def _prune(request: PruneRequest, *, do_it: bool) -> Pruning:
    async with threads_of_user() as threads:
        return await threads.prune(request, do_it=do_it)


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
