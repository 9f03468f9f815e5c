"""The ledger of every paid request, recorded before it is sent. Entries survive undo and deletion of threads."""

import math
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Literal, Protocol

from ml_intern.configs.errors import LimitReached
from ml_intern.store.connection import SqlConnection, ThreadDatabase
from ml_intern.store.team.people.budgets import UNPRICED_REQUESTS_PER_DOLLAR as UNPRICED_REQUESTS_PER_DOLLAR
from ml_intern.store.team.people.budgets import check_budgets
from ml_intern.store.team.people.sharing import owner_of
from ml_intern.text.formatting import money, plural

Source = Literal["main", "research", "compaction", "job"]

_SUMS = (
    "count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cached_tokens), 0), "
    "coalesce(sum(cache_write_tokens), 0), coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost_usd), 0.0), "
    "count(*) FILTER (WHERE cost_usd IS NULL AND state <> 'open'), count(*) FILTER (WHERE state = 'open')"
)
_TOTAL = f"SELECT {_SUMS} FROM ledger WHERE root_id = ?"  # noqa: S608  constants only


def unpriced_allowed(cap_usd: float) -> int:
    """Return the number of requests of unknown price that a cap allows: at least one."""
    return math.ceil(cap_usd * UNPRICED_REQUESTS_PER_DOLLAR)


def budget_remedy(unpriced: int) -> str:
    """Return what the user can do about a budget that is used up, by the number of its requests of unknown price."""
    raised = "raise it with --max-budget-usd (-1: no limit)"
    return f"{raised}, or set the price: `prices` in the settings" if unpriced else raised


@dataclass(frozen=True)
class CostReservation:
    """The highest possible cost of a request in US dollars (None: unknown) and the cap of its tree (None: no cap)."""

    usd: float | None = None
    cap_usd: float | None = None


class TokenCounts(Protocol):
    """Token counts of a request. Cached tokens are part of the input, reasoning tokens of the output."""

    @property
    def input_tokens(self) -> int:
        """All input tokens."""

    @property
    def output_tokens(self) -> int:
        """All output tokens."""

    @property
    def cached_tokens(self) -> int:
        """Input tokens read from the provider's cache."""

    @property
    def cache_write_tokens(self) -> int:
        """Input tokens written to the provider's cache."""

    @property
    def reasoning_tokens(self) -> int:
        """Output tokens used for reasoning."""


@dataclass(frozen=True)
class Totals:
    """Sums over a tree of threads. `cost_usd` is the known part of the cost in US dollars."""

    requests: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float
    unknown_cost_requests: int
    """Finished requests of unknown price."""
    open_requests: int
    """Requests in progress or cut off by a crash; their cost is unknown."""

    def since(self, earlier: "Totals") -> "Totals":
        """Return the difference to `earlier`."""
        return Totals(*(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True)))

    @property
    def unpriced_requests(self) -> int:
        """Return the number of requests whose cost is unknown, finished or not."""
        return self.unknown_cost_requests + self.open_requests

    @property
    def known_cost_usd(self) -> float | None:
        """Return the total cost in US dollars, or None if the price of any request is unknown."""
        return None if self.unpriced_requests else self.cost_usd

    def counts(self) -> dict[str, int]:
        """Return the numbers of requests and tokens in the form of the event `result`."""
        return {name: getattr(self, name) for name in COUNT_NAMES}


ZERO_TOTALS = Totals(0, 0, 0, 0, 0, 0, 0.0, 0, 0)
COUNT_NAMES = (
    "requests", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
    "unknown_cost_requests",
)  # fmt: skip
"""The counts among the totals that are shown to users."""


@dataclass(frozen=True)
class Spending:
    """The totals of one source and model."""

    source: Source
    model: str
    totals: Totals

    def as_json(self) -> dict[str, Any]:
        """Return the row in the form of the event `result`."""
        return {
            "source": self.source,
            "model": self.model,
            **self.totals.counts(),
            "cost_usd": self.totals.known_cost_usd,
        }


def usage_summary(rows: Sequence[Spending], before: Sequence[Spending] = ()) -> dict[str, Any]:
    """Return the usage since `before` for the event `result`: sums, and `by_source` for each source and model."""
    earlier = {(row.source, row.model): row.totals for row in before}
    used = [replace(row, totals=row.totals.since(earlier.get((row.source, row.model), ZERO_TOTALS))) for row in rows]
    used = [row for row in used if row.totals.requests]
    sums = {name: sum(getattr(row.totals, name) for row in used) for name in COUNT_NAMES}
    return {**sums, "by_source": [row.as_json() for row in used]}


@dataclass(frozen=True)
class PaidRequest:
    """The ledger entry of an answered request. `finished` is in seconds since the epoch."""

    source: Source
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float | None
    finished: float


class Ledger:
    """The ledger of a database."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def reserve(
        self, thread_id: str, root_id: str, source: Source, model: str, reservation: CostReservation | None = None
    ) -> int:
        """Record a request on disk before it is sent, and return the id of the entry.

        `root_id` is the top thread of the tree of agents, which is `thread_id` for the main agent. Parallel requests
        see each other's reservations, so that together they never exceed the cap.

        Raises:
            LimitReached: the highest possible cost of the request exceeds the cap.
        """
        entry = (thread_id, root_id, source, model)
        return await self._database.write(
            lambda connection: insert_entry(connection, entry, reservation or CostReservation())
        )

    async def settle(self, id: int, used: TokenCounts, cost_usd: float | None) -> Totals:
        """Close an entry with its token counts and cost (None: unknown). Return the new totals of its tree.

        Raises ValueError if there is no such open entry.
        """
        cached = (used.cached_tokens, used.cache_write_tokens)
        counts = (used.input_tokens, used.output_tokens, *cached, used.reasoning_tokens)
        statement = (
            "UPDATE ledger SET state = 'settled', input_tokens = ?, output_tokens = ?, cached_tokens = ?, "
            "cache_write_tokens = ?, reasoning_tokens = ?, cost_usd = ?, finished = ? "
            "WHERE id = ? AND state = 'open' RETURNING root_id"
        )
        return await self._close(statement, (*counts, cost_usd, time.time(), id), synced=False)

    async def fail(self, id: int, why: str, cost_usd: float | None = 0.0) -> Totals:
        """Close the entry of a failed request; a cost of None means it may have been charged. Return the new totals."""
        statement = (
            "UPDATE ledger SET state = 'failed', why = ?, cost_usd = ?, finished = ? "
            "WHERE id = ? AND state = 'open' RETURNING root_id"
        )
        return await self._close(statement, (why, cost_usd, time.time(), id))

    async def total(self, root_id: str) -> Totals:
        """Return the totals of a tree of agents: the thread `root_id` and all threads below it."""
        return await self._database.read_cached(
            "ledger", root_id, lambda connection: Totals(*connection.execute(_TOTAL, (root_id,)).fetchone())
        )

    async def thread_total(self, root_id: str, thread_id: str) -> Totals:
        """Return the totals of one thread of a tree, without its sub-agents."""
        query = f"{_TOTAL} AND thread_id = ?"
        return await self._database.read(
            lambda connection: Totals(*connection.execute(query, (root_id, thread_id)).fetchone())
        )

    async def by_source(self, root_id: str) -> list[Spending]:
        """Return the totals of a tree for each source and model, most expensive first."""
        query = f"SELECT source, model, {_SUMS} FROM ledger WHERE root_id = ? GROUP BY source, model ORDER BY 9 DESC"  # noqa: S608  constants only
        return await self._database.read(
            lambda connection: [
                Spending(source, model, Totals(*sums)) for source, model, *sums in connection.execute(query, (root_id,))
            ]
        )

    async def last_model(self, thread_id: str) -> str:
        """Return the model of the thread's last main request; "" if there is none."""
        query = "SELECT model FROM ledger WHERE thread_id = ? AND source = 'main' ORDER BY id DESC LIMIT 1"
        found = await self._database.read(lambda connection: connection.execute(query, (thread_id,)).fetchone())
        return str(found[0]) if found else ""

    async def requests(self, root_id: str) -> list[PaidRequest]:
        """Return the answered requests of a tree in order of completion."""
        query = (
            "SELECT source, model, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, "
            "cost_usd, finished "
            "FROM ledger WHERE root_id = ? AND state = 'settled' ORDER BY finished, id"
        )
        return await self._database.read(
            lambda connection: [PaidRequest(*found) for found in connection.execute(query, (root_id,))]
        )

    async def _close(self, statement: str, values: tuple[float | str | None, ...], *, synced: bool = True) -> Totals:
        def close(connection: SqlConnection) -> tuple[str, Totals]:
            rows = connection.execute(statement, values).fetchall()
            if not rows:
                raise ValueError(f"there is no open entry {values[-1]} in the ledger")
            return rows[0][0], Totals(*connection.execute(_TOTAL, rows[0]).fetchone())

        return await self._database.write_cached("ledger", close, synced=synced)


_COMMITTED = (
    "SELECT coalesce(sum(coalesce(cost_usd, CASE WHEN state = 'open' THEN reserved_usd END, 0.0)), 0.0), "
    "count(*) FILTER (WHERE cost_usd IS NULL AND (state <> 'open' OR reserved_usd IS NULL)) "
    "FROM ledger WHERE root_id = ?"
)


def insert_entry(connection: SqlConnection, entry: tuple[str, str, Source, str], reservation: CostReservation) -> int:
    """Insert an entry (thread, root, source, model) inside a transaction and return its id. Raises LimitReached."""
    _check_cap(connection, entry[1], reservation)
    user = owner_of(connection, entry[1])
    check_budgets(connection, user, reservation.usd)
    statement = (
        "INSERT INTO ledger (thread_id, root_id, source, model, state, reserved_usd, started, user_id) "
        "VALUES (?, ?, ?, ?, 'open', ?, ?, ?) RETURNING id"
    )
    (id,) = connection.execute(statement, (*entry, reservation.usd, time.time(), user)).fetchone()
    return int(id)


def _check_cap(connection: SqlConnection, root_id: str, reservation: CostReservation) -> None:
    if reservation.cap_usd is None:
        return
    committed, unpriced = connection.execute(_COMMITTED, (root_id,)).fetchone()
    if reservation.usd is not None and committed + reservation.usd > reservation.cap_usd:
        left = (
            f"{money(max(0.0, reservation.cap_usd - committed))} of the budget of {money(reservation.cap_usd)} is left"
        )
        raise LimitReached(f"the next request may cost {money(reservation.usd)}, but only {left}", budget_remedy(0))
    if reservation.usd is None and unpriced >= unpriced_allowed(reservation.cap_usd):
        used_up = f"the budget of {money(reservation.cap_usd)} is used up"
        counted = f"it allows {plural(unpriced, 'request')} of unknown price, {UNPRICED_REQUESTS_PER_DOLLAR} per dollar"
        raise LimitReached(f"{used_up}: {counted}", budget_remedy(unpriced))
