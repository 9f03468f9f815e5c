"""`improve pause`, `continue`, `finish`, `stop` and `set`: control a search that runs in another process."""

import asyncio
from dataclasses import replace
from typing import Annotated

import typer

from ml_intern.commands.improve.start import Id
from ml_intern.commands.improve.wanted import checked_budget
from ml_intern.commands.options import Options, seconds, takes_options
from ml_intern.commands.output import print_lines
from ml_intern.configs.errors import UsageError
from ml_intern.search.plan import SearchLimits
from ml_intern.search.saved import find_search
from ml_intern.session.opening.options import working_folder
from ml_intern.session.opening.store import open_store


@takes_options("cd")
def pause(id: Id = "", *, options: Options) -> int:
    """Start no further attempts until the search is continued. Running ones end."""
    return _ask(id, options, "pause", "pausing: running attempts end, and no other one starts")


@takes_options("cd")
def continue_(id: Id = "", *, options: Options) -> int:
    """Continue a search that was paused and whose process runs."""
    return _ask(id, options, "run", "continuing")


@takes_options("cd")
def finish(id: Id = "", *, options: Options) -> int:
    """Start no further attempts. Running ones end, then the best attempts are run again and the winner is chosen."""
    return _ask(id, options, "finish", "finishing: running attempts end, then the winner is chosen")


@takes_options("cd")
def stop(id: Id = "", *, options: Options) -> int:
    """Stop the search and its running attempts. It can be resumed."""
    return _ask(id, options, "stop", "stopping")


@takes_options("cd", "timeout")
def set_limits(
    id: Id = "",
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="X", help="budget in US dollars (-1: no limit)")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", metavar="N", help="attempts at the same time", min=1)
    ] = None,
    attempts: Annotated[int | None, typer.Option("--attempts", metavar="N", help="attempts at most", min=1)] = None,
    *,
    options: Options,
) -> int:
    """Change the limits of a search, also while it runs."""
    changes: dict[str, float | int | None] = {}
    if budget is not None:
        changes["budget_usd"] = checked_budget(budget)
    changes |= {"parallel": parallel} if parallel is not None else {}
    changes |= {"attempts": attempts} if attempts is not None else {}
    changes |= {"seconds": seconds(options.timeout)} if options.timeout else {}
    if not changes:
        raise UsageError("no limit was given", "use --budget, --timeout, --attempts or --parallel")

    async def change() -> int:
        async with open_store() as store:
            saved = await find_search(store, id, str(working_folder(options.request())))
            limits: SearchLimits = replace((await saved.load()).limits, **changes)  # type: ignore[arg-type]
            await saved.ask(limits=limits)
        return print_lines([f"changed: {', '.join(f'{name} {value}' for name, value in changes.items())}"])

    return asyncio.run(change())


def _ask(id: str, options: Options, wanted: str, line: str) -> int:
    async def ask() -> int:
        async with open_store() as store:
            saved = await find_search(store, id, str(working_folder(options.request())))
            if not await saved.runs():
                remedy = f"continue it with `ml-intern improve resume {saved.search_id}`"
                raise UsageError(f"no process runs the search {saved.search_id}", remedy)
            await saved.ask(wanted)
        return print_lines([line])

    return asyncio.run(ask())
