"""`schedule add`, `list`, `remove`, `run`: prompts that start a thread at regular times."""

import asyncio
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from ml_intern.commands.failure import report_line
from ml_intern.commands.options import Options, takes_options
from ml_intern.commands.output import Json, fitted_columns, local_time, print_json, print_lines
from ml_intern.commands.serving.signals import first_signal
from ml_intern.configs.errors import UsageError
from ml_intern.graph.limits import HEADLESS_BUDGET_USD
from ml_intern.session.opening.options import working_folder
from ml_intern.session.opening.store import open_store
from ml_intern.session.schedules.times import local_zone, next_time
from ml_intern.text.formatting import money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_intern.store.team.schedules import Schedule

HEADING = ("ID", "CRON", "NEXT", "LAST", "MISSED", "BUDGET", "THREAD", "FOLDER", "PROMPT")
ID_LENGTH = 8
NO_LIMIT = -1


@takes_options("cd", "model")
def add(
    options: Options,
    cron: Annotated[
        str, typer.Argument(metavar="CRON", help="minute hour day month weekday: '0 7 * * 1' is Mondays at 7:00")
    ],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="the task")],
    budget: Annotated[
        float, typer.Option("--budget", metavar="X", help="budget of each thread in US dollars, -1: no limit")
    ] = HEADLESS_BUDGET_USD,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="NAME", help="such as Europe/Paris (default: that of this machine)")
    ] = "",
    json: Json = False,
) -> int:
    """Start a new thread with a prompt at regular times."""
    from ml_intern.store.team.schedules import Schedule

    if not prompt.strip():
        raise UsageError("the prompt is empty", "say what is to be done")
    if not (budget > 0 or budget == NO_LIMIT):
        raise UsageError(f"{budget:g} is not a budget", "use a number above 0, or -1 for no limit")
    zone = timezone or local_zone()
    chosen = {"approval_mode": "auto", "max_budget_usd": budget, **({"model": options.model} if options.model else {})}
    folder, due = str(working_folder(options.request())), next_time(cron, zone, time.time())
    added = Schedule(uuid4().hex[:ID_LENGTH], cron, zone, prompt, folder, chosen, due)
    asyncio.run(_add(added))
    if json:
        return print_json(asdict(added))
    return print_lines([f"added schedule {added.id}; it starts a thread for the first time on {local_time(due)}"])


async def _add(schedule: "Schedule") -> None:
    async with open_store() as store:
        await store.schedules.add(schedule)


def list_schedules(json: Json = False) -> int:
    """List the schedules, their next and last times, and how often they were missed."""
    rows = asyncio.run(_all())
    if json:
        return print_json([asdict(one) for one in rows])
    if not rows:
        return print_lines(["no schedules; add one with: ml-intern schedule add CRON PROMPT"])
    return print_lines(fitted_columns([HEADING, *map(_cells, rows)], drop=("FOLDER", "BUDGET")))


async def _all() -> "Sequence[Schedule]":
    async with open_store() as store:
        return await store.schedules.list()


def _cells(one: "Schedule") -> tuple[str, ...]:
    last = local_time(one.fired) if one.fired else "-"
    usd = one.options["max_budget_usd"]
    budget = "no limit" if usd == NO_LIMIT else money(usd)
    cron, thread = f"{one.cron} {one.timezone}", one.thread_id[:ID_LENGTH] or "-"
    return (one.id, cron, local_time(one.due), last, str(one.missed), budget, thread, one.folder, one.prompt)


def remove(id: Annotated[str, typer.Argument(metavar="ID", help="the id that `schedule list` shows")]) -> int:
    """Remove a schedule. The threads that it started stay."""
    if not asyncio.run(_remove(id)):
        raise UsageError(f"there is no schedule {id!r}", "`ml-intern schedule list` lists them")
    return print_lines([f"removed schedule {id}"])


async def _remove(id: str) -> bool:
    async with open_store() as store:
        return await store.schedules.remove(id)


def run(
    once: Annotated[
        bool, typer.Option("--once", help="start what is due, wait for its end and exit, for a crontab")
    ] = False,
) -> int:
    """Start the threads of the schedules on this machine, until Ctrl-C. With a database, workers do it."""
    return asyncio.run(_run(once=once))


async def _run(*, once: bool) -> int:
    from ml_intern.session.schedules.processes import run_schedules

    stopped = None if once else first_signal()
    async with open_store() as store:
        if stopped is not None and not store.is_shared:
            report_line("waiting for schedules; stop with Ctrl-C")
        await run_schedules(store, report_line, stopped)
    return 0 if stopped is None else await stopped
