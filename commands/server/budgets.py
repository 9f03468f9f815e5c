"""`server budgets` and `server audit`: what may be spent, and who did what."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.output import Json, fitted_columns, local_time, print_json, print_lines
from ml_intern.commands.server.opened import COMMAND_LINE, team_store
from ml_intern.configs.errors import UsageError
from ml_intern.text.formatting import money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_intern.store.team.people.audit import AuditEntry
    from ml_intern.store.team.people.budgets import Budget

NO_LIMIT = -1.0


def budgets(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="a user; without one, the whole server")] = "",
    day: Annotated[float | None, typer.Option("--day", metavar="X", help="US dollars per day, -1: no limit")] = None,
    month: Annotated[
        float | None, typer.Option("--month", metavar="X", help="US dollars per month, -1: no limit")
    ] = None,
    json: Json = False,
) -> int:
    """Show the spending of today and this month (UTC), or set the budget of a user or of the server."""
    for usd in (day, month):
        if usd is not None and not (usd >= 0 or usd == NO_LIMIT):
            raise UsageError(f"{usd:g} is not a budget", "use 0 or more US dollars, or -1 for no limit")
    found = asyncio.run(_budgets(name, day, month))
    if json:
        return print_json([asdict(one) for one in found])
    heading = ("USER", "TODAY", "PER DAY", "THIS MONTH", "PER MONTH")
    return print_lines(fitted_columns([heading, *map(_cells, found)]))


async def _budgets(name: str, day: float | None, month: float | None) -> "Sequence[Budget]":
    async with team_store() as store:
        user_id = (await store.users.find(name)).id if name else ""
        if day is not None or month is not None:
            old = next(one for one in await store.budgets.list() if one.name == name)
            await store.budgets.set(user_id, _limit(day, old.daily_usd), _limit(month, old.monthly_usd))
            limits = f"{name or 'the server'}: day {day}, month {month}"
            await store.audit.add(COMMAND_LINE, "budget", detail=limits)
        return [one for one in await store.budgets.list() if not name or one.name == name]


def _limit(given: float | None, old: float | None) -> float | None:
    if given is None:
        return old
    return None if given == NO_LIMIT else given


def _cells(one: "Budget") -> tuple[str, ...]:
    limits = ["no limit" if usd is None else money(usd) for usd in (one.daily_usd, one.monthly_usd)]
    spent = money(one.spent_today_usd), money(one.spent_this_month_usd)
    return (one.name or "(all)", spent[0], limits[0], spent[1], limits[1])


def audit(
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="only what this user did")] = "",
    thread: Annotated[str, typer.Option("--thread", metavar="ID", help="only what was done in this thread")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="number of entries")] = 50,
    json: Json = False,
) -> int:
    """Show who did what on the team's server, latest first."""
    found = asyncio.run(_audit(limit, user, thread))
    if json:
        return print_json([asdict(one) for one in found])
    if not found:
        return print_lines(["nothing yet"])
    rows = [(local_time(one.created), one.who, one.action, one.thread_id[:8], one.detail) for one in found]
    return print_lines(fitted_columns([("TIME", "WHO", "ACTION", "THREAD", "DETAIL"), *rows]))


async def _audit(limit: int, user: str, thread: str) -> "Sequence[AuditEntry]":
    async with team_store() as store:
        return await store.audit.list(limit, user, thread)
