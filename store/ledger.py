"""The ledger: every paid request, entered before it is sent. It only grows; undo and delete leave it alone."""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, Literal, Protocol

from ml_intern.configs.errors import LimitReached
from ml_intern.store.database import Database

Source = Literal["main", "research", "compaction", "job"]

_SUMS = (
    "count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cached_tokens), 0), "
    "coalesce(sum(cache_write_tokens), 0), coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost_usd), 0.0), "
    "coalesce(sum(cost_usd IS NULL AND state <> 'open'), 0), coalesce(sum(state = 'open'), 0)"
)
_TOTAL = f"SELECT {_SUMS} FROM ledger WHERE root_id = ?"  # noqa: S608  constants only


CALLS_PER_DOLLAR = 50
"""A cap of one dollar allows so many requests whose price nobody knows."""


@dataclass(frozen=True)
class CostReservation:
    """The most a request may cost, in US dollars (None: unknown), and the cap of its tree (None: there is none)."""

    usd: float | None = None
    cap_usd: float | None = None


class TokenCounts(Protocol):
    """What a request used, in tokens; cached ones are part of the input, reasoning ones of the output."""

    @property
    def input_tokens(self) -> int:
        """All that was sent."""

    @property
    def output_tokens(self) -> int:
        """All that came back."""

    @property
    def cached_tokens(self) -> int:
        """Input the provider had in its cache."""

    @property
    def cache_write_tokens(self) -> int:
        """Input the provider wrote into its cache."""

    @property
    def reasoning_tokens(self) -> int:
        """Output that is reasoning."""


@dataclass(frozen=True)
class Totals:
    """Sums over a tree of threads. `cost_usd` is the known part, in US dollars."""

    requests: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float
    unknown_cost_requests: int
    """Requests that ended and whose price is not known."""
    open_requests: int
    """Requests under way, or cut off by a crash: what they cost is not known."""

    def since(self, earlier: "Totals") -> "Totals":
        """What came after `earlier`."""
        return Totals(*(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True)))

    @property
    def known_cost_usd(self) -> float | None:
        """What all of it cost in US dollars; None when the price of a part is not known."""
        return None if self.unknown_cost_requests > 0 or self.open_requests > 0 else self.cost_usd

    def counts(self) -> dict[str, int]:
        """Requests and tokens, as the event `result` has them."""
        return {name: getattr(self, name) for name in COUNTS}


NOTHING = Totals(0, 0, 0, 0, 0, 0, 0.0, 0, 0)
COUNTS = (
    "requests", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
    "unknown_cost_requests",
)  # fmt: skip
"""The whole numbers among the totals that users see."""


@dataclass(frozen=True)
class Spending:
    """The totals of one source and model."""

    source: Source
    model: str
    totals: Totals

    def as_json(self) -> dict[str, Any]:
        """The row as the event `result` has it."""
        return {
            "source": self.source,
            "model": self.model,
            **self.totals.counts(),
            "cost_usd": self.totals.known_cost_usd,
        }


def usage_of(rows: Sequence[Spending], before: Sequence[Spending] = ()) -> dict[str, Any]:
    """The usage of the event `result`: the sums, and `by_source` the same for each source and model, since `before`."""
    earlier = {(row.source, row.model): row.totals for row in before}
    news = [replace(row, totals=row.totals.since(earlier.get((row.source, row.model), NOTHING))) for row in rows]
    news = [row for row in news if row.totals.requests]
    sums = {name: sum(getattr(row.totals, name) for row in news) for name in COUNTS}
    return {**sums, "by_source": [row.as_json() for row in news]}


@dataclass(frozen=True)
class PaidRequest:
    """One request that was answered: its entry in the ledger. `finished` is seconds since the epoch."""

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

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(
        self, thread_id: str, root_id: str, source: Source, model: str, worst: CostReservation | None = None
    ) -> int:
        """Enter a request before it is sent, on disk; returns the id of the entry.

        `root_id` is the thread at the top of the tree of agents, `thread_id` itself for the main agent. Requests side
        by side see each other's reservations: together they never exceed the cap.

        Raises:
            LimitReached: the cap does not allow the most that the request may cost.
        """
        entry = (thread_id, root_id, source, model)
        return await self._database.write(lambda connection: enter(connection, entry, worst or CostReservation()))

    async def settle(self, id: int, used: TokenCounts, cost_usd: float | None) -> Totals:
        """Close an entry with what was used; a price of None is unknown. Returns the new totals of its tree.

        Raises ValueError when there is no such open entry.
        """
        cached = (used.cached_tokens, used.cache_write_tokens)
        counts = (used.input_tokens, used.output_tokens, *cached, used.reasoning_tokens)
        statement = (
            "UPDATE ledger SET state = 'settled', input_tokens = ?, output_tokens = ?, cached_tokens = ?, "
            "cache_write_tokens = ?, reasoning_tokens = ?, cost_usd = ?, finished = ? "
            "WHERE id = ? AND state = 'open' RETURNING root_id"
        )
        return await self._close(statement, (*counts, cost_usd, time.time(), id))

    async def fail(self, id: int, why: str, cost_usd: float | None = 0.0) -> Totals:
        """Close an entry whose request failed; None when it may have been charged. Returns the new totals."""
        statement = (
            "UPDATE ledger SET state = 'failed', why = ?, cost_usd = ?, finished = ? "
            "WHERE id = ? AND state = 'open' RETURNING root_id"
        )
        return await self._close(statement, (why, cost_usd, time.time(), id))

    async def total(self, root_id: str) -> Totals:
        """What a tree of agents has used: the thread `root_id` and all below it."""
        return await self._database.read(lambda connection: Totals(*connection.execute(_TOTAL, (root_id,)).fetchone()))

    async def own(self, root_id: str, thread_id: str) -> Totals:
        """What one thread of a tree has used by itself."""
        query = f"{_TOTAL} AND thread_id = ?"
        return await self._database.read(
            lambda connection: Totals(*connection.execute(query, (root_id, thread_id)).fetchone())
        )

    async def by_source(self, root_id: str) -> list[Spending]:
        """The totals of a tree for each source and model, the dearest first."""
        query = f"SELECT source, model, {_SUMS} FROM ledger WHERE root_id = ? GROUP BY source, model ORDER BY 9 DESC"  # noqa: S608  constants only
        return await self._database.read(
            lambda connection: [
                Spending(source, model, Totals(*sums)) for source, model, *sums in connection.execute(query, (root_id,))
            ]
        )

    async def last_model(self, thread_id: str) -> str:
        """The model that a thread itself asked last; empty when it asked none."""
        query = "SELECT model FROM ledger WHERE thread_id = ? AND source = 'main' ORDER BY id DESC LIMIT 1"
        found = await self._database.read(lambda connection: connection.execute(query, (thread_id,)).fetchone())
        return str(found[0]) if found else ""

    async def requests(self, root_id: str) -> list[PaidRequest]:
        """The answered requests of a tree, in the order they ended."""
        query = (
            "SELECT source, model, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, "
            "cost_usd, finished "
            "FROM ledger WHERE root_id = ? AND state = 'settled' ORDER BY finished, id"
        )
        return await self._database.read(
            lambda connection: [PaidRequest(*found) for found in connection.execute(query, (root_id,))]
        )

    async def _close(self, statement: str, values: tuple[float | str | None, ...]) -> Totals:
        def close(connection: sqlite3.Connection) -> Totals:
            rows = connection.execute(statement, values).fetchall()
            if not rows:
                raise ValueError(f"there is no open entry {values[-1]} in the ledger")
            return Totals(*connection.execute(_TOTAL, rows[0]).fetchone())

        return await self._database.write(close)


_COMMITTED = (
    "SELECT coalesce(sum(coalesce(cost_usd, iif(state = 'open', reserved_usd, 0.0), 0.0)), 0.0), "
    "coalesce(sum(cost_usd IS NULL AND (state <> 'open' OR reserved_usd IS NULL)), 0) FROM ledger WHERE root_id = ?"
)


def enter(connection: sqlite3.Connection, entry: tuple[str, str, Source, str], worst: CostReservation) -> int:
    """Make an entry (thread, root, source, model) within a transaction; its id. Raises LimitReached."""
    _check_cap(connection, entry[1], worst)
    statement = (
        "INSERT INTO ledger (thread_id, root_id, source, model, state, reserved_usd, started) "
        "VALUES (?, ?, ?, ?, 'open', ?, ?)"
    )
    return connection.execute(statement, (*entry, worst.usd, time.time())).lastrowid or 0


def _check_cap(connection: sqlite3.Connection, root_id: str, worst: CostReservation) -> None:
    if worst.cap_usd is None:
        return
    committed, unpriced = connection.execute(_COMMITTED, (root_id,)).fetchone()
    cap, remedy = f"the budget of {worst.cap_usd:.2f} USD", "allow more with --max-budget-usd; -1 is unlimited"
    if worst.usd is not None and committed + worst.usd > worst.cap_usd:
        spent = f"{committed:.4f} USD are spent or reserved, and the next request may cost {worst.usd:.4f}"
        raise LimitReached(f"{cap} does not allow the next request: {spent}", remedy)
    if worst.usd is None and unpriced >= worst.cap_usd * CALLS_PER_DOLLAR:
        raise LimitReached(f"{cap} stands for {unpriced} requests of unknown price, and they are used up", remedy)
