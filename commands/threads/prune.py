"""`threads prune`: delete old threads, thin out large ones and shrink the database. Without --yes, only preview it."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ml_intern.commands.options import seconds
from ml_intern.commands.output import Json, fitted_columns, local_time, print_json, print_lines, size
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import UsageError
from ml_intern.session.protocol import PruneRequest, Pruning
from ml_intern.text.formatting import listed, plural

_UNITS = {"": 1, "b": 1, "k": 1_000, "kb": 1_000, "kib": 1024, "m": 10**6, "mb": 10**6, "mib": 1024**2,
          "g": 10**9, "gb": 10**9, "gib": 1024**3}  # fmt: skip
DEFAULT_SIZE = "1MB"
MAX_SECRETS = 10


def prune(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="DURATION", help="delete threads unused this long, such as 90d"),
    ] = None,
    larger_than: Annotated[
        str,
        typer.Option("--larger-than", metavar="SIZE", help="thin out threads above this size: 500k, 10MB"),
    ] = DEFAULT_SIZE,
    keep: Annotated[int, typer.Option("--keep", metavar="N", min=0, help="never delete the N most recent threads")] = 0,
    backup: Annotated[str | None, typer.Option("--backup", metavar="FILE", help="copy the database first")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="delete; without it, only show what would be deleted")] = False,
    json: Json = False,
) -> int:
    """Shrink the thread database: delete old threads and thin out large ones.

    Thinning removes only data that no undo or redo can reach. Spending stays in the ledger. Threads that another
    process is using are skipped.
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
    return print_lines(_lines(done, did_it=yes))


def bytes_of(text: str) -> int:
    """Parse a SIZE in bytes: a number with an optional unit such as k, MB or GiB. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError(f"{text!r} is not a valid size", "use bytes, or a form such as 500k, 10MB, 1GiB")
    return int(float(found[1]) * _UNITS[found[2]])


async def _prune(request: PruneRequest, *, do_it: bool) -> Pruning:
    async with threads_of_user() as threads:
        return await threads.prune(request, do_it=do_it)


def _lines(done: Pruning, *, did_it: bool) -> Iterable[str]:
    rows = [(step.id[:8], step.what, size(step.bytes), local_time(step.updated), step.title) for step in done.steps]
    if rows:
        yield from fitted_columns([("ID", "ACTION", "SIZE", "USED", "TITLE"), *rows], ("USED", "SIZE"))
    if done.snapshots:
        yield f"{plural(done.snapshots, 'file snapshot')} of deleted threads"
    if done.secrets:
        yield f"files with secrets in snapshots of older versions: {listed(done.secrets, MAX_SECRETS)}"
    yield from done.notes
    yield from (f"{id[:8]} skipped: another process is using it" for id in done.in_use)
    if did_it:
        yield f"freed {size(done.freed)}"
    elif rows or done.snapshots or done.secrets:
        yield f"would free about {size(sum(step.bytes for step in done.steps))}; add --yes to do it"
    else:
        yield "nothing to prune"
