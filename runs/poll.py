"""Poll a run: update its status and metrics, read its new log lines, and record its end once."""

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ConfigurationError, MLInternError, TemporaryError
from ml_intern.execution.run_sources import read_run_sources
from ml_intern.runs.backends.base import Backend, RunStatus
from ml_intern.runs.backends.registry import backend_of, backend_spec
from ml_intern.runs.logs import lines, tail
from ml_intern.runs.metrics import MAX_METRICS, last_tracked, metrics_of
from ml_intern.runs.notify import Conditions, Seen, notices_json
from ml_intern.runs.run_folder import LOG, is_supervised, read_status, run_folder, runs_home
from ml_intern.runs.trackers.collect import collect
from ml_intern.safety.secrets.redaction import redact
from ml_intern.store.runs import OPEN, QUEUED, RUNNING, RunChanges, RunEnding, RunRow

if TYPE_CHECKING:
    from ml_intern.store.store import Store

TAIL_CHARACTERS = 3_000
MAX_POLLS_AT_ONCE = 64
NEVER = "it was never started: its launch broke off"


async def poll(store: "Store", row: RunRow) -> RunRow:
    """Update the row of a run and return it. Raises TemporaryError when the status is not available."""
    if not row.open:
        return row
    backend = _backend(store, row)
    row = await adopt(store, row, backend)
    if row.handle is None:
        return row
    seen = await backend.inspect(row.handle)
    is_open = seen.state in OPEN
    if backend_spec(row.backend).streams_logs or not is_open:
        await backend.fetch_log(row.handle, Path(row.log))
    if not is_open:
        await collect(store, replace(row, started=seen.started or row.started), backend)
    read = await asyncio.to_thread(_read_on, row, run_folder(store.home, row.id), state=seen.state)
    if is_open:
        return await _record_progress(store, row, seen, read)
    return await _record_end(store, row, seen, read)


async def refresh(store: "Store", thread_id: str | None = None) -> list[str]:
    """Poll the open runs of a thread, or of all threads, so that their rows can be shown.

    Return one line for each run whose status is not available.
    """
    if thread_id is None:
        await adopt_unlisted(store)
    polled = await poll_all(store, await store.runs.unfinished(thread_id))
    return [f"{row.id} is shown as last known ({row.state}): {problem}" for row, problem in polled if problem]


async def poll_all(store: "Store", rows: Sequence[RunRow]) -> list[tuple[RunRow, str]]:
    """Poll runs at the same time, so that those on one machine share a request.

    Return each row, with the reason if its status is not available.
    """
    gate = asyncio.Semaphore(MAX_POLLS_AT_ONCE)

    async def polled(row: RunRow) -> tuple[RunRow, str]:
        async with gate:
            try:
                return await poll(store, row), ""
            except MLInternError as error:
                return row, error.message

    return list(await asyncio.gather(*map(polled, rows)))


def _backend(store: "Store", row: RunRow) -> Backend:
    try:
        return backend_of(row.backend, store)
    except ConfigurationError as error:
        raise TemporaryError(f"the state of {row.id} is unknown: {error}") from error


async def adopt(store: "Store", row: RunRow, backend: Backend) -> RunRow:
    """Find the handle of a launched run without one. If its call is closed, prevent the run from starting."""
    if row.handle is not None:
        return row
    handle = await backend.find(row.id)
    if handle is not None:
        await store.runs.update(row.id, handle=handle, state=RUNNING)
        return replace(row, handle=handle, state=RUNNING)
    if await _is_being_launched(store, row) or not await backend.abandon(row.id):
        return row
    ending = RunEnding("lost", reason=NEVER)
    await store.runs.end(row.id, ending)
    return replace(row, **vars(ending))


async def stop(store: "Store", row: RunRow) -> RunRow:
    """Stop a run, record its end, and return its row. Raises TemporaryError."""
    backend = _backend(store, row)
    row = await adopt(store, row, backend)
    if row.handle is None:
        if not await backend.abandon(row.id):
            return await stop(store, row)
        ending = RunEnding("cancelled", reason="stopped before it started")
        await store.runs.end(row.id, ending)
        return replace(row, **vars(ending))
    if row.open:
        await backend.cancel(row.handle)
    return await poll(store, row)


async def _is_being_launched(store: "Store", row: RunRow) -> bool:
    """Whether the call that launches the run is open and will be resumed."""
    from ml_intern.execution.call import call_mark

    return any(call_mark(call.key) == row.call for call in await store.journal.open_calls(row.thread_id))


@dataclass(frozen=True)
class NewOutput:
    """The latest metrics and the notices as JSON, and the offset up to which the log was read."""

    metrics: str
    notices: str
    log_offset: int


def _read_on(row: RunRow, folder: Path, *, state: str) -> NewOutput:
    found: dict[str, float] = {}
    offset, now, conditions = row.log_offset, time.time(), Conditions(row.notify_when, row.notices)
    for line in lines(Path(row.log), row.log_offset, ended=state not in OPEN):
        offset = line.end
        numbers = metrics_of(line.text, conditions.metrics)
        if conditions.is_open:
            conditions.check(Seen(redact(line.text), numbers), now)
        found.update(numbers)
    tracked = last_tracked(folder)
    conditions.check(Seen(metrics=tracked), now)
    if state == RUNNING:
        conditions.check(Seen(silent_s=now - _last_output(row)), now)
    metrics = json.dumps({**json.loads(row.metrics), **_plain({**found, **tracked})})
    return NewOutput(metrics, notices_json(conditions.notices), offset)


def _last_output(row: RunRow) -> float:
    """Return when the run last printed, at the earliest when it started."""
    log = Path(row.log)
    return max(row.started or row.created, log.stat().st_mtime if log.exists() else 0.0)


def _plain(found: Mapping[str, float]) -> dict[str, float | str]:
    """Convert numbers for JSON, with infinity and NaN as strings."""
    first = list(found.items())[:MAX_METRICS]
    return {name: value if math.isfinite(value) else str(value) for name, value in first}


async def _record_progress(store: "Store", row: RunRow, seen: RunStatus, read: NewOutput) -> RunRow:
    news = RunChanges(
        state=seen.state,
        reason=redact(seen.reason),
        started=seen.started or row.started,
        metrics=read.metrics,
        notices=read.notices,
        log_offset=read.log_offset,
    )
    changed = replace(row, **news)
    if changed != row:
        await store.runs.update(row.id, **news)
    return changed


async def _record_end(store: "Store", row: RunRow, seen: RunStatus, read: NewOutput) -> RunRow:
    end = await asyncio.to_thread(tail, Path(row.log), TAIL_CHARACTERS)
    ending = RunEnding(
        state=seen.state,
        exit_code=seen.exit_code,
        reason=redact(seen.reason),
        tail=redact(end),
        metrics=read.metrics,
        cost_usd=seen.cost_usd,
        finished=seen.finished or time.time(),
    )
    if seen.started is not None:
        await store.runs.update(row.id, started=seen.started)
    await _record_files(store, row)
    await store.runs.end(row.id, ending)
    return await store.runs.get(row.id) or replace(row, **vars(ending))


async def _record_files(store: "Store", row: RunRow) -> None:
    """Record the files that a local run changed with its outside sources."""
    from ml_intern.execution.file_sources import changed_files

    found = await asyncio.to_thread(read_run_sources, Path(row.log).parent)
    written = found.written
    if written is None and found.all:  # its supervisor was killed
        began = int((row.started or row.created) * 1e9)
        written = await asyncio.to_thread(changed_files, [Path(root) for root in found.roots], began)
    await store.tainted_files.add(written or {}, found.all)


def is_waiting(row: RunRow) -> bool:
    """Whether the run has not started."""
    return row.state == QUEUED


UNKNOWN = "(unknown: its record was lost)"


async def adopt_unlisted(store: "Store") -> None:
    """Add rows for running local runs that have none. They do not belong to a thread."""
    listed = {row.id for row in await store.runs.list()}
    for folder in await asyncio.to_thread(_supervised, store.home):
        if folder.name not in listed:
            await store.runs.add(_row(folder))


def _supervised(home: Path) -> list[Path]:
    folder = runs_home(home)
    return [one for one in sorted(folder.iterdir()) if is_supervised(one)] if folder.is_dir() else []


def _row(folder: Path) -> RunRow:
    status = read_status(folder)
    handle = json.dumps({"pid": status.get("pid"), "started": status.get("started"), "folder": str(folder)})
    return RunRow(folder.name, "", UNKNOWN, handle=handle, started=status.get("started"), log=str(folder / LOG))
