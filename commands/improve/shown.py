"""`improve status`, `tree`, `best`, `diff` and `report`: look at a search. They change nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from ml_intern.commands.improve.lines import end_lines, tree_lines
from ml_intern.commands.improve.start import Id
from ml_intern.commands.improve.watch import watch_search
from ml_intern.commands.options import Options, takes_options
from ml_intern.commands.output import Json, columns, local_time, print_json, print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.search.files.worktrees import SearchFiles
from ml_intern.search.record import SearchRecord
from ml_intern.search.saved import SavedSearch, as_json, find_search
from ml_intern.search.views.rows import metric_text
from ml_intern.session.opening.options import working_folder
from ml_intern.session.opening.store import open_store
from ml_intern.text.formatting import duration, money

Attempt = Annotated[int | None, typer.Option("--attempt", metavar="N", help="another attempt than the best one")]

Watch = Annotated[bool, typer.Option("--watch", help="show the search as it runs, on a screen of its own")]


@takes_options("cd")
def status(id: Id = "", json: Json = False, watch: Watch = False, *, options: Options) -> int:
    """Show the state of a search; without any in the folder, list all searches."""
    if watch:
        return watch_search(id, working_folder(options.request()))

    async def show() -> int:
        async with open_store() as store:
            here = str(working_folder(options.request()))
            if not id and not await store.searches.list(here):
                return await _listed([SavedSearch(store, row.id) for row in await store.searches.list()], json=json)
            saved = await find_search(store, id, here)
            record = await saved.load()
            if json:
                return print_json({**as_json(record), "runs": await saved.runs()})
            return print_lines(_status_lines(record, runs=await saved.runs()))

    return asyncio.run(show())


async def _listed(searches: list[SavedSearch], *, json: bool) -> int:
    records = [(await one.load(), await one.runs()) for one in searches]
    if json:
        return print_json([{**as_json(record), "runs": runs} for record, runs in records])
    rows = [("ID", "STATE", "STARTED", "METRIC", "BEST", "FOLDER")]
    rows += [
        (
            one.search_id, _state(one, runs=runs), local_time(one.started), str(one.plan.objective),
            metric_text(one.tree.best.score if one.tree.best else None), one.plan.folder,
        )
        for one, runs in records
    ]  # fmt: skip
    return print_lines(columns(rows) if records else ["there are no searches yet; start one with `ml-intern improve`"])


def _state(record: SearchRecord, *, runs: bool) -> str:
    return record.state if runs or record.ended or record.state == "paused" else "interrupted"


def _status_lines(record: SearchRecord, *, runs: bool) -> Iterator[str]:
    tree, limits = record.tree, record.limits
    why = f" ({record.why})" if record.why and not record.ended else ""
    yield f"search {record.search_id}: {_state(record, runs=runs)}{why}"
    yield f"{record.plan.objective} with `{record.plan.evaluator}` in {record.plan.folder}"
    spent = "unknown" if record.spent_usd is None else money(record.spent_usd)
    budget = "no limit" if limits.budget_usd is None else money(limits.budget_usd)
    limit = "no limit" if limits.seconds is None else duration(limits.seconds)
    yield f"spent {spent} of {budget}, ran {duration(record.seconds)} of {limit}, parallel {limits.parallel}"
    counts = {state: sum(1 for one in tree.attempts if one.number and one.state == state) for state in _STATES}
    yield f"attempts: {', '.join(f'{count} {state}' for state, count in counts.items() if count) or 'none'}"
    if tree.attempts and tree.baseline.score:
        yield f"baseline {metric_text(tree.baseline.score)}"
    if tree.best is not None and tree.best.number:
        yield f"best so far: attempt {tree.best.number}, {metric_text(tree.best.score)}: {tree.best.idea}"
    if record.ended:
        yield from list(end_lines(record))[1:]
    elif not runs:
        yield f"no process runs it; continue it with: ml-intern improve resume {record.search_id}"


_STATES = ("waiting", "working", "evaluating", "accepted", "discarded", "crashed", "refused", "stopped")


@takes_options("cd")
def tree(id: Id = "", json: Json = False, *, options: Options) -> int:
    """Show all attempts: from which one they start, their metric with its interval, cost, idea, and why they ended."""

    async def show(record: SearchRecord) -> int:
        return print_json(as_json(record)["tree"]) if json else print_lines(tree_lines(record))

    return _of_search(id, options, show)


@takes_options("cd")
def best(id: Id = "", json: Json = False, *, options: Options) -> int:
    """Show the best attempt and the changes that lead to it."""

    async def show(record: SearchRecord) -> int:
        found = record.tree.best
        if found is None or not found.number:
            raise UsageError("no attempt is better than the baseline yet")
        line = list(record.tree.line(found.number))[::-1]
        if json:
            return print_json([as_json(record)["tree"]["attempts"][one.number] for one in line])
        return print_lines([f"{one.number}  {metric_text(one.score)}  {one.idea}" for one in line])

    return _of_search(id, options, show)


@takes_options("cd")
def diff(id: Id = "", attempt: Attempt = None, *, options: Options) -> int:
    """Show the changes of an attempt against its parent; for the best attempt, against the baseline."""

    async def show(record: SearchRecord) -> int:
        number = attempt if attempt is not None else _chosen(record)
        if number not in range(len(record.tree.attempts)) or not record.tree[number].commit:
            raise UsageError(f"there is no attempt {number} with a commit", "`ml-intern improve tree` shows them")
        one = record.tree[number]
        start = record.tree[one.parents[0]] if attempt is not None and one.parents else record.tree.baseline
        files = files_of(record)
        text = await asyncio.to_thread(files.diff, start.commit, one.commit)
        return print_lines(text.splitlines())

    return _of_search(id, options, show)


@takes_options("cd")
def report(
    id: Id = "",
    format: Annotated[str, typer.Option("--format", metavar="FORMAT", help="md (default), html or card")] = "md",
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="write it to this file")] = None,
    *,
    options: Options,
) -> int:
    """Print the report of a search: Markdown, an HTML page, or the section for a model card."""
    if format not in ("md", "html", "card"):
        raise UsageError(f"--format: {format!r} is not a format", "use md, html or card")

    async def show(record: SearchRecord) -> int:
        from ml_intern.search.report import report_of

        made = report_of(record)
        text = made.html() if format == "html" else made.card if format == "card" else made.markdown()
        if output is None:
            return print_lines(text.splitlines())
        await asyncio.to_thread(output.write_text, text, encoding="utf-8")
        return 0

    return _of_search(id, options, show)


def _chosen(record: SearchRecord) -> int:
    """Return the winner, else the best attempt so far. Raises UsageError."""
    if record.conclusion is not None and record.conclusion.winner is not None:
        return record.conclusion.winner
    if record.tree.best is None or not record.tree.best.number:
        raise UsageError("no attempt is better than the baseline yet", "name one with --attempt N")
    return record.tree.best.number


def files_of(record: SearchRecord) -> SearchFiles:
    """Return the files of a search."""
    return SearchFiles.of(record.search_id, Path(record.plan.folder), record.plan.holdout)


def _of_search(id: str, options: Options, work: Callable[[SearchRecord], Awaitable[int]]) -> int:
    async def run() -> int:
        async with open_store() as store:
            saved = await find_search(store, id, str(working_folder(options.request())))
            return await work(await saved.load())

    return asyncio.run(run())
