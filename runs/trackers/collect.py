"""Copy the files that the trackers of a run wrote to the folder of the run, when it ends."""

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.execution.call import ToolError
from ml_intern.runs.backends.base import Backend, FetchesOutputs
from ml_intern.runs.backends.registry import backend_spec
from ml_intern.runs.run_folder import run_folder
from ml_intern.runs.trackers.tracked import TRACKED, TRACKERS
from ml_intern.store.runs import RunRow

if TYPE_CHECKING:
    from ml_intern.store.store import Store

MAX_FILE_BYTES = 256 << 20
"""A larger file is not copied."""
PATTERNS = tuple(pattern for pattern, _ in TRACKERS)


async def collect(store: "Store", row: RunRow, backend: Backend) -> None:
    """Copy what a run that has ended wrote, for a remote run from its machine. Raises TemporaryError.

    A local run counts only if no other one used its working folder meanwhile: the files do not name their run.
    """
    place = run_folder(store.home, row.id) / TRACKED
    if isinstance(backend, FetchesOutputs) and row.handle:
        with contextlib.suppress(ToolError):  # the machine no longer has the files: the log has the metrics
            await backend.fetch_outputs(row.handle, PATTERNS, place, written=True)
    elif row.folder and row.started and not _is_elsewhere(row) and not await _shared(store, row):
        await asyncio.to_thread(_copy, Path(row.folder), place, row.started)


def _is_elsewhere(row: RunRow) -> bool:
    spec = backend_spec(row.backend)
    return spec.is_remote or spec.is_agent


async def _shared(store: "Store", row: RunRow) -> bool:
    """Whether another local run in the same folder overlapped with this one."""
    others = [other for other in await store.runs.list() if other.id != row.id and other.backend == row.backend]
    since = row.started or row.created
    return any(other.folder == row.folder and (other.open or (other.finished or 0.0) > since) for other in others)


def _copy(folder: Path, place: Path, since: float) -> None:
    found = {path for pattern in PATTERNS for path in folder.glob(pattern)}
    for path in sorted(path for path in found if path.is_file() and not path.is_symlink()):
        with contextlib.suppress(OSError):  # it is gone, or the disk is full: the log has the metrics
            state = path.stat()
            if state.st_mtime >= since and state.st_size <= MAX_FILE_BYTES:
                target = place / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.copyfile(path, target)
