"""`improve` and `improve resume`: start a search, or continue it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ml_intern.commands.failure import report_line, say
from ml_intern.commands.improve.lines import SearchProgress, dry_run_lines, end_lines, limits_line
from ml_intern.commands.improve.wanted import SearchOptions
from ml_intern.commands.options import MODEL_OPTIONS, SETTINGS_OPTIONS, Options, takes_fields, takes_options
from ml_intern.commands.output import print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.search.plan import SearchLimits, SearchPlan
from ml_intern.search.record import SearchRecord
from ml_intern.search.running.driver import SearchDriver
from ml_intern.search.running.opening import begin_search, opened_search, unfinished
from ml_intern.search.saved import SavedSearch, find_search
from ml_intern.session.opening.options import working_folder
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.opening.store import open_store

INTERRUPTED, TERMINATED = 130, 143
SESSION_OPTIONS = ("max_iterations", "strict_budget", "patience", "sandbox", "verify", "add_dir")

What = Annotated[str, typer.Argument(metavar="[WHAT]", help="what to try, in your words")]
Id = Annotated[str, typer.Argument(metavar="[ID]", help="the search; the latest one of the folder by default")]


@takes_options(*MODEL_OPTIONS, *SETTINGS_OPTIONS, *SESSION_OPTIONS, "lock", "holdout", "timeout")
@takes_fields("wanted", SearchOptions)
def improve(what: What = "", *, wanted: SearchOptions, options: Options) -> int:
    """Search for a better value of a metric.

    Each attempt is a thread in a git worktree and branch of its own. Your branch is never touched. The same command
    continues a search that was interrupted.
    """
    request, limits = options.request(headless=True), wanted.limits(options.timeout)
    plan = replace(
        wanted.plan(str(working_folder(request)), limits.budget_usd), task=what.strip(), locks=tuple(options.lock),
        holdout=str(Path(options.holdout).expanduser().resolve()) if options.holdout else "",
    )  # fmt: skip
    request = replace(request, holdout=None, locks=())
    return asyncio.run(_start(plan, limits, request, dry_run=wanted.dry_run))


@takes_options(*MODEL_OPTIONS, *SETTINGS_OPTIONS, *SESSION_OPTIONS)
def resume(id: Id = "", *, options: Options) -> int:
    """Continue a search that was interrupted, stopped or failed, or that was a dry run."""
    return asyncio.run(_resume(id, options.request(headless=True)))


async def _start(plan: SearchPlan, limits: SearchLimits, request: SessionRequest, *, dry_run: bool) -> int:
    async with open_store() as store:
        saved = await unfinished(store, plan)
        if saved is None:
            saved = await begin_search(store, plan, limits, request)
            report_line(f"search {saved.search_id} in {plan.folder}")
        else:
            await saved.ask(limits=limits)
            report_line(f"continuing the search {saved.search_id}, which has the same options; {limits_line(limits)}")
        return await _run(saved, request, dry_run=dry_run)


async def _resume(id: str, request: SessionRequest) -> int:
    async with open_store() as store:
        saved = await find_search(store, id, str(working_folder(request)))
        record = await saved.load()
        if record.state == "finished":
            raise UsageError(f"the search {saved.search_id} has finished", "start another one with ml-intern improve")
        return await _run(saved, request, dry_run=False)


async def _run(saved: SavedSearch, request: SessionRequest, *, dry_run: bool) -> int:
    progress = SearchProgress(report_line)
    async with opened_search(saved, request, progress) as search:
        driver = SearchDriver(search, dry_run)
        code = await _until_signal(driver.run)
        record = search.record
    if code:
        hint = f"continue with: ml-intern improve resume {saved.search_id}"
        return say(f"interrupted; {hint}", code)
    return _ended(record, dry_run=dry_run)


async def _until_signal(run: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run the search until SIGINT or SIGTERM. Return the exit code of the signal, or 0."""
    codes: list[int] = []
    task = asyncio.create_task(run())

    def stop(code: int) -> None:
        codes.append(code)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number, code in ((signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)):
        loop.add_signal_handler(number, stop, code)
    try:
        await asyncio.wait({task})
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    if codes:
        return codes[0]
    task.result()
    return 0


def _ended(record: SearchRecord, *, dry_run: bool) -> int:
    if record.state == "failed":
        return say(record.why, 1)
    if dry_run and record.state == "paused":
        return print_lines(dry_run_lines(record))
    return print_lines(end_lines(record))
