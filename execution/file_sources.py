"""The outside sources of files: recorded when a thread with outside text changes a file, found when one is read."""

import asyncio
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ml_intern.execution.call import ToolResult
from ml_intern.execution.run_sources import may_have_written, read_run_sources
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.store.runs import RunRow
from ml_intern.store.store import Store
from ml_intern.store.tainted_files import TaintedFile
from ml_intern.text.digests import file_digest

MAX_SCANNED = 50_000
"""Most entries of a workspace that are looked at after a call, the upper folders first."""
MAX_HASHED_BYTES = 256 * 1024 * 1024
_SKIPPED = frozenset({"objects", "__pycache__", "site-packages", "dist-packages", "node_modules"})
"""Folders of git's data, and of installed packages, which are outside text anyway."""
_COARSE_CLOCK = 5
"""CLOCK_REALTIME_COARSE of Linux, the clock of a file's times."""


async def sources_of_files(store: Store, paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the outside sources of files, and of the files below folders. Only recorded files are opened."""
    paths = list(paths)
    known = await store.tainted_files.find([str(path) for path in paths])
    runs = [row for row in await store.runs.unfinished() if row.handle is not None] if paths else []
    if not (known or runs):
        return ()
    return await asyncio.to_thread(
        lambda: tuple(dict.fromkeys([*_recorded(known), *(source for row in runs for source in _of_run(row, paths))]))
    )


def _recorded(known: Iterable[TaintedFile]) -> list[str]:
    return [source for one in known if _digest(Path(one.path)) == one.digest for source in one.sources]


def _of_run(row: RunRow, paths: Iterable[Path]) -> tuple[str, ...]:
    """Return the sources of a run that has not ended, if it may have written one of these files."""
    found = read_run_sources(Path(row.log).parent)
    began = row.started or row.created
    return found.all if any(may_have_written(found, began, path) for path in paths) else ()


def file_clock() -> int:
    """Return the present time of the clock of file times, in nanoseconds."""
    return time.clock_gettime_ns(_COARSE_CLOCK) if sys.platform == "linux" else time.time_ns()


async def record_written(spec: ToolSpec, result: ToolResult, context: ToolContext, began: int, *, reads: bool) -> None:
    """Record the files that a call changed since `began`, with the outside sources in the context and in its result.

    A call that only reads, `reads`, may still have saved its output.
    """
    sources = tuple(dict.fromkeys((*context.taint, *result.taint, *result.file_sources)))
    if not sources:
        return
    digests = dict(result.file_reads) if spec.result_text is not None and not reads else {}
    if not reads and not digests and spec.asks:
        digests = await asyncio.to_thread(lambda: changed_files(context.roots(), began))
    if result.artifact:
        digests |= await asyncio.to_thread(_saved_output, result.artifact)
    await context.services.store.tainted_files.add(digests, sources)


def _saved_output(artifact: str) -> dict[str, str]:
    path = Path(artifact).resolve()
    return {str(path): digest} if (digest := _digest(path)) else {}


def changed_files(roots: Sequence[Path], began: int) -> dict[str, str]:
    """Return the path and digest of every regular file below the folders that changed since `began`."""
    found: dict[str, str] = {}
    left = MAX_HASHED_BYTES
    for path, about in _entries(roots):
        if stat.S_ISREG(about.st_mode) and about.st_ctime_ns >= began and about.st_size and about.st_size <= left:
            left -= about.st_size
            if digest := _digest(path):
                found[str(path)] = digest
    return found


def _entries(roots: Sequence[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the entries below folders with their stat, level by level."""
    folders, seen = list(roots), 0
    for folder in folders:
        for path in _listed(folder):
            seen += 1
            if seen > MAX_SCANNED:
                return
            try:
                about = path.lstat()
            except OSError:
                continue  # it was removed in the meantime
            if stat.S_ISDIR(about.st_mode) and path.name not in _SKIPPED:
                folders.append(path)
            yield path, about


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # a folder that cannot be read was not written by a tool either


def _digest(path: Path) -> str:
    """Return the digest of a regular file, or "" if it cannot be read."""
    try:
        return file_digest(path) if path.is_file() else ""
    except OSError:
        return ""
