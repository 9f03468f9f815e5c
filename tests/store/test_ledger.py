"""The ledger: every request counts in its tree from before it is sent, and entries are permanent."""

import pytest

from ml_intern.configs.errors import LimitReached
from ml_intern.store.ledger import COUNT_NAMES, ZERO_TOTALS, CostReservation, Source, Totals, usage_summary
from ml_intern.store.store import Store
from tests.store.conftest import REFUSED
from tests.store.graphs import Tokens


async def test_a_tree_without_requests_has_zero_totals(store: Store) -> None:
    assert await store.ledger.total("root") == ZERO_TOTALS
    assert await store.ledger.by_source("root") == []


async def test_totals_include_sub_agents_but_no_other_tree(store: Store) -> None:
    for thread, root in (("root", "root"), ("child", "root"), ("grandchild", "root"), ("other", "other")):
        await store.ledger.settle(await store.ledger.reserve(thread, root, "main", "m"), Tokens(), 0.25)
    assert await store.ledger.total("root") == Totals(3, 300, 30, 150, 15, 15, 0.75, 0, 0)
    assert (await store.ledger.total("other")).requests == 1


async def test_a_request_counts_as_open_from_before_it_is_sent(store: Store) -> None:
    await store.ledger.reserve("root", "root", "main", "m")
    totals = await store.ledger.total("root")
    assert (totals.requests, totals.open_requests, totals.unknown_cost_requests) == (1, 1, 0)


async def test_requests_of_unknown_price_are_counted_separately(store: Store) -> None:
    for cost in (0.5, None, None, 0.0):
        await store.ledger.settle(await store.ledger.reserve("root", "root", "main", "m"), Tokens(), cost)
    totals = await store.ledger.total("root")
    assert (totals.requests, totals.cost_usd, totals.unknown_cost_requests) == (4, 0.5, 2)
    assert totals.input_tokens == 400


async def test_a_failed_request_costs_nothing_unless_it_may_have_been_charged(store: Store) -> None:
    refused = await store.ledger.reserve("root", "root", "main", "m")
    cut_off = await store.ledger.reserve("root", "root", "main", "m")
    assert (await store.ledger.fail(refused, "429")).unknown_cost_requests == 0
    totals = await store.ledger.fail(cut_off, "the stream broke", None)
    assert (totals.requests, totals.open_requests, totals.unknown_cost_requests, totals.cost_usd) == (2, 0, 1, 0.0)


async def test_settling_returns_the_new_totals_of_the_tree(store: Store) -> None:
    await store.ledger.settle(await store.ledger.reserve("child", "root", "research", "m"), Tokens(), 1.0)
    totals = await store.ledger.settle(await store.ledger.reserve("root", "root", "main", "m"), Tokens(), 2.0)
    assert totals == await store.ledger.total("root")
    assert totals.cost_usd == 3.0


async def test_spending_is_listed_by_source_and_model_most_expensive_first(store: Store) -> None:
    spent: list[tuple[Source, str, float]] = [
        ("main", "a", 1.0),
        ("main", "b", 5.0),
        ("job", "a10g", 9.0),
        ("main", "a", 1.0),
    ]
    for source, model, cost in spent:
        await store.ledger.settle(await store.ledger.reserve("root", "root", source, model), Tokens(), cost)
    rows = await store.ledger.by_source("root")
    assert [(row.source, row.model, row.totals.cost_usd) for row in rows] == [
        ("job", "a10g", 9.0),
        ("main", "b", 5.0),
        ("main", "a", 2.0),
    ]


async def test_an_entry_is_settled_once(store: Store) -> None:
    id = await store.ledger.reserve("root", "root", "main", "m")
    await store.ledger.settle(id, Tokens(), 1.0)
    with pytest.raises(ValueError, match="no open entry"):
        await store.ledger.settle(id, Tokens(), 0.0)
    with pytest.raises(ValueError, match="no open entry"):
        await store.ledger.fail(id + 1, "never reserved")
    assert (await store.ledger.total("root")).cost_usd == 1.0


@pytest.mark.parametrize("statement", ["DELETE FROM ledger", "UPDATE ledger SET cost_usd = 0"])
async def test_the_database_rejects_changes_of_settled_entries(store: Store, statement: str) -> None:
    await store.ledger.settle(await store.ledger.reserve("root", "root", "main", "m"), Tokens(), 1.0)
    with pytest.raises(REFUSED, match="ledger"):
        await store.database.write(lambda db: db.execute(statement).rowcount)
    assert (await store.ledger.total("root")).cost_usd == 1.0


async def test_negative_prices_and_counts_are_rejected(store: Store) -> None:
    id = await store.ledger.reserve("root", "root", "main", "m")
    with pytest.raises(REFUSED, match=r"(?i)check"):
        await store.ledger.settle(id, Tokens(), -1.0)
    with pytest.raises(REFUSED, match=r"(?i)check"):
        await store.ledger.settle(id, Tokens(input_tokens=-5), 1.0)


async def test_usage_is_grouped_by_source_and_model_since_an_earlier_point(store: Store) -> None:
    async def paid(source: Source, model: str, cost: float | None) -> None:
        await store.ledger.settle(await store.ledger.reserve("root", "root", source, model), Tokens(), cost)

    await paid("main", "large", 0.5)
    before = await store.ledger.by_source("root")
    for source, model, cost in (("main", "large", 0.25), ("research", "small", None), ("compaction", "large", 0.125)):
        await paid(source, model, cost)  # type: ignore[arg-type]
    usage = usage_summary(await store.ledger.by_source("root"), before)
    rows = {(row["source"], row["model"]): row for row in usage["by_source"]}
    assert [usage[name] for name in COUNT_NAMES] == [3, 300, 30, 150, 15, 15, 1]
    assert {key: (row["requests"], row["cost_usd"]) for key, row in rows.items()} == {
        ("main", "large"): (1, 0.25),
        ("research", "small"): (1, None),
        ("compaction", "large"): (1, 0.125),
    }
    assert usage_summary(await store.ledger.by_source("root"))["requests"] == 4


async def test_a_refused_request_says_how_much_is_left(store: Store) -> None:
    cap = CostReservation(0.3, 1.0)
    for _ in range(2):
        await store.ledger.settle(await store.ledger.reserve("t", "t", "main", "m", cap), Tokens(), 0.3)
    with pytest.raises(LimitReached, match=r"may cost \$0\.50, but only \$0\.40 of the budget of \$1\.00 is left"):
        await store.ledger.reserve("t", "t", "main", "m", CostReservation(0.5, 1.0))
    await store.ledger.reserve("t", "t", "main", "m", CostReservation(0.4, 1.0))


async def test_requests_of_unknown_price_are_limited_by_their_number_and_the_remedy_names_the_price(
    store: Store,
) -> None:
    for _ in range(50):
        await store.ledger.settle(
            await store.ledger.reserve("t", "t", "main", "m", CostReservation(None, 1.0)), Tokens(), None
        )
    with pytest.raises(LimitReached, match=r"it allows 50 requests of unknown price, 50 per dollar") as refused:
        await store.ledger.reserve("t", "t", "main", "m", CostReservation(None, 1.0))
    assert "`prices` in the settings" in refused.value.remedy
