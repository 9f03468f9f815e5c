"""The budgets of users and of a whole server, in US dollars per day and month (UTC), and the spending."""

import math
import time
from calendar import timegm
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ml_intern.configs.errors import LimitReached
from ml_intern.store.connection import SqlConnection, ThreadDatabase
from ml_intern.text.formatting import money

SERVER: Final = ""
"""Stands for the whole server in place of a user's id."""
UNPRICED_REQUESTS_PER_DOLLAR: Final = 50
"""Number of requests of unknown price that a budget of one dollar allows."""
_COMMITTED: Final = (
    "SELECT coalesce(sum(coalesce(cost_usd, CASE WHEN state = 'open' THEN reserved_usd END, 0.0)), 0.0), "
    "count(*) FILTER (WHERE cost_usd IS NULL AND (state <> 'open' OR reserved_usd IS NULL)) "
    "FROM ledger WHERE started >= ? AND (? = '' OR user_id = ?)"
)


@dataclass(frozen=True)
class Budget:
    """The budget of a user, or of the server if the name is empty, and the spending. None: no limit."""

    name: str
    daily_usd: float | None
    monthly_usd: float | None
    spent_today_usd: float = 0.0
    spent_this_month_usd: float = 0.0


class Budgets:
    """The budgets of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def set(self, user_id: str, daily_usd: float | None, monthly_usd: float | None) -> None:
        """Set the budget of a user or of the server; None means unlimited."""
        statement = (
            "INSERT INTO budgets (user_id, daily_usd, monthly_usd) VALUES (?, ?, ?) "
            "ON CONFLICT (user_id) DO UPDATE SET daily_usd = excluded.daily_usd, monthly_usd = excluded.monthly_usd"
        )
        values = (user_id, daily_usd, monthly_usd)
        await self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    async def list(self) -> Sequence[Budget]:
        """Return the budget of the server, then those of all users by name, with the spending."""
        query = (
            "SELECT users.id, name, daily_usd, monthly_usd FROM users LEFT JOIN budgets ON user_id = users.id "
            "ORDER BY name"
        )

        def read(connection: SqlConnection) -> Sequence[Budget]:
            rows = [(SERVER, "", *_limits(connection, SERVER)), *connection.execute(query).fetchall()]
            return [
                Budget(name, daily, monthly, *(_spent(connection, id, since)[0] for since in (_day(), _month())))
                for id, name, daily, monthly in rows
            ]

        return await self._database.read(read)


def check_budgets(connection: SqlConnection, user_id: str, usd: float | None) -> None:
    """Check within a transaction that a request fits all budgets. `usd` is its highest cost, None if unknown.

    Raises LimitReached.
    """
    for whose, id in (("your", user_id), ("the server's", SERVER)):
        if whose == "your" and not user_id:
            continue
        for period, cap, since in _caps(connection, id):
            committed, unpriced = _spent(connection, id, since)
            allowed = math.ceil(cap * UNPRICED_REQUESTS_PER_DOLLAR)
            if (usd is None and unpriced >= allowed) or committed + (usd or 0.0) > cap:
                left = money(max(0.0, cap - committed))
                raise LimitReached(
                    f"{whose} budget of {money(cap)} for {period} is used up: {left} is left for the next request",
                    "wait, or ask an admin for more: ml-intern server budgets",
                )


def _caps(connection: SqlConnection, id: str) -> Iterator[tuple[str, float, float]]:
    """Yield the period, the limit and the start of each budget that is set."""
    daily, monthly = _limits(connection, id)
    if daily is not None:
        yield "today", daily, _day()
    if monthly is not None:
        yield "this month", monthly, _month()


def _limits(connection: SqlConnection, id: str) -> tuple[float | None, float | None]:
    found = connection.execute("SELECT daily_usd, monthly_usd FROM budgets WHERE user_id = ?", (id,)).fetchone()
    return (found[0], found[1]) if found else (None, None)


def _spent(connection: SqlConnection, id: str, since: float) -> tuple[float, int]:
    committed, unpriced = connection.execute(_COMMITTED, (since, id, id)).fetchone()
    return float(committed), int(unpriced)


def _day() -> float:
    now = time.gmtime()
    return float(timegm((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0)))


def _month() -> float:
    now = time.gmtime()
    return float(timegm((now.tm_year, now.tm_mon, 1, 0, 0, 0)))
