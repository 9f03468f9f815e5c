"""`jobs list` and `jobs cancel`: the runs of all threads. No thread is locked, so a thread may be working meanwhile."""

import asyncio
import json as jsonlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_intern.commands.failure import say
from ml_intern.commands.output import Json, fitted_columns, local_time, print_json, print_lines
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.session.opening.store import open_store
from ml_intern.session.remote.servers import chosen_server
from ml_intern.terminal.render.summary import one_line
from ml_intern.text.formatting import duration, money, plural

if TYPE_CHECKING:
    from ml_intern.store.runs import RunRow
    from ml_intern.store.store import Store

Run = Annotated[str, typer.Argument(metavar="RUN", help="id, unique id prefix or name")]
NAMES_HELP = "ids, unique id prefixes, names, or names of sweeps"
CUT_OFF = "starting; if the launch was interrupted, resume the thread"
ORPHAN = "its thread was deleted"
MAX_STOPS = 16
MAX_THREADS = 50
"""Threads of a server whose runs are listed, last used first."""
DROPPED = ("THREAD", "WHERE", "STARTED", "COST", "RAN", "METRICS")
"""Columns that a narrow terminal does not show, in this order."""


@dataclass(frozen=True)
class Shown:
    """A run's current state and a remark about it."""

    row: "RunRow"
    remark: str = ""


def list_jobs(
    going: Annotated[bool, typer.Option("--open", help="only runs that have not ended")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="show at most N (0: all)")] = 20,
    json: Json = False,
) -> int:
    """List background runs and jobs with their current state, the most recent last."""
    rows = [one for one in asyncio.run(_all()) if one.row.open or not going][-limit:]
    if json:
        return print_json([run_json(one) for one in rows])
    if not rows:
        return print_lines(["no runs" if going else "no runs yet"])
    head = ("ID", "STATE", "WHERE", "STARTED", "RAN", "COST", "THREAD", "METRICS", "COMMAND")
    return print_lines([*fitted_columns([head, *map(_cells, rows)], DROPPED), *_offers(rows)])


def cancel(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help=NAMES_HELP)] = None,
    orphans: Annotated[bool, typer.Option("--orphans", help="cancel the runs whose thread was deleted")] = False,
    sweep: Annotated[bool, typer.Option("--sweep", help="cancel all runs of the sweep that RUN belongs to")] = False,
    json: Json = False,
) -> int:
    """Cancel runs and every process they started."""
    if bool(runs) == orphans or (orphans and sweep):
        raise UsageError(
            "name the runs to cancel, or use --orphans", "ml-intern jobs cancel RUN, or ml-intern jobs cancel --orphans"
        )
    stopped = asyncio.run(_cancel(runs or [], sweep=sweep))
    if json:
        return print_json([run_json(Shown(row)) for row in stopped])
    return print_lines([f"{row.id}: {row.state}" for row in stopped] or ["no orphaned runs"])


def run_json(shown: Shown) -> dict[str, Any]:
    """Return a run as JSON; times in seconds since the epoch, costs in US dollars."""
    hidden = ("handle", "log_offset", "call", "ledger_id")
    fields = {name: value for name, value in vars(shown.row).items() if name not in hidden}
    return {**fields, "metrics": jsonlib.loads(shown.row.metrics), "remark": shown.remark}


async def found_run(store: "Store", text: str, *, latest: bool = True) -> "RunRow":
    """Find a run by id, name or unique id prefix. Of several runs with the name, take the latest. Raises UsageError."""
    from ml_intern.runs.naming import choose

    choice = choose(text, await store.runs.list(), "run", latest=latest)
    if choice.note:
        say(f"note: {choice.note}", 0)
    return choice.row


async def found_runs(store: "Store", text: str, *, latest: bool = True, sweep: bool = False) -> "Sequence[RunRow]":
    """Find the runs of a sweep by its name, else one run as `found_run` does; with `sweep` all of its sweep."""
    from ml_intern.runs.sweeps import runs_named, runs_with

    rows = await store.runs.list()
    if named := runs_named(text, rows, latest=latest):
        return named
    row = await found_run(store, text, latest=latest)
    return runs_with(row, rows) if sweep else [row]


async def _all() -> list[Shown]:
    """Return the runs of this machine, or of the threads of the server that --server names."""
    return await (_local() if chosen_server() is None else _on_server())


async def _on_server() -> list[Shown]:
    async with threads_of_user() as threads:
        rows = await threads.list(None, MAX_THREADS)
        found = [series.run for row in rows for series in await threads.runs(row.id)]
    return [Shown(run, run.reason) for run in sorted(found, key=lambda run: run.created)]


async def _local() -> list[Shown]:
    from ml_intern.runs.poll import adopt_unlisted, poll_all

    async with open_store() as store:
        await adopt_unlisted(store)
        found = []
        for seen, problem in await poll_all(store, await store.runs.list()):
            if problem:
                found.append(Shown(seen, f"last known state: {problem}"))
                continue
            gone = seen.open and await store.threads.get(seen.thread_id) is None
            unlaunched = seen.open and seen.handle is None
            found.append(Shown(seen, ORPHAN if gone else CUT_OFF if unlaunched else seen.reason))
        return found


async def _cancel(names: Sequence[str], *, sweep: bool) -> "list[RunRow]":
    from ml_intern.runs.poll import adopt_unlisted

    async with open_store() as store:
        await adopt_unlisted(store)
        found = [await found_runs(store, name, latest=False, sweep=sweep) for name in names]
        rows = list({row.id: row for runs in found for row in runs}.values())
        if not names:
            rows = [row for row in await store.runs.unfinished() if await store.threads.get(row.thread_id) is None]
        for row in rows:
            if not row.open:
                say(f"{row.id} had already ended: {row.state}", 0)
        return await _stopped(store, rows)


async def _stopped(store: "Store", rows: "Sequence[RunRow]") -> "list[RunRow]":
    """Stop every run, even when one of them fails to stop. Raises the last error afterwards.

    Those that wait are stopped first, so that they do not start when another one ends.
    """
    from ml_intern.runs.poll import poll_all
    from ml_intern.store.runs import QUEUED

    seen = [row for row, _ in await poll_all(store, rows)]
    found: dict[str, RunRow | MLInternError] = {}
    for is_first in (True, False):
        group = [row for row in seen if (row.state == QUEUED) == is_first]
        found |= dict(zip([row.id for row in group], await _stop_all(store, group), strict=True))
    for id, one in found.items():
        if isinstance(one, MLInternError):
            say(f"{id} was not stopped: {one.message}", 0)
    if failures := [one for one in found.values() if isinstance(one, MLInternError)]:
        raise failures[-1]
    return [one for row in rows if not isinstance(one := found[row.id], MLInternError)]


async def _stop_all(store: "Store", rows: "Sequence[RunRow]") -> "list[RunRow | MLInternError]":
    """Stop runs at the same time, and return the row or the error of each."""
    from ml_intern.runs.poll import stop

    gate = asyncio.Semaphore(MAX_STOPS)

    async def stopped(row: "RunRow") -> "RunRow | MLInternError":
        async with gate:
            try:
                return await stop(store, row)
            except MLInternError as error:
                return error

    return list(await asyncio.gather(*map(stopped, rows)))


def _cells(shown: Shown) -> tuple[str, ...]:
    row = shown.row
    ran = "" if row.started is None or row.finished is None else duration(max(row.finished - row.started, 0.0))
    where = " ".join(filter(None, (row.backend, row.hardware)))
    cost = money(row.cost_usd) if row.ledger_id is not None and not row.open else ""
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in _numbers(row)[:3])
    what = one_line(f"{row.name}: {row.command}" if row.name else row.command, 60)
    state = f"{row.state} ({one_line(shown.remark, 50)})" if shown.remark else row.state
    return (row.id, state, where, local_time(row.started or row.created), ran, cost, row.thread_id[:8], metrics, what)


def _numbers(row: "RunRow") -> list[tuple[str, float]]:
    return [(name, value) for name, value in jsonlib.loads(row.metrics).items() if isinstance(value, int | float)]


def _offers(rows: Sequence[Shown]) -> list[str]:
    orphans = [one.row.id for one in rows if one.remark == ORPHAN]
    if not orphans:
        return []
    return [f"{plural(len(orphans), 'orphaned run')}, thread deleted: stop with `ml-intern jobs cancel --orphans`"]
