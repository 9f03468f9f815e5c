"""Budgets of users and of the server: no request goes beyond one, whatever becomes of threads."""

import pytest

from ml_intern.configs.errors import LimitReached
from ml_intern.store.ledger import CostReservation
from ml_intern.store.store import Store
from ml_intern.store.team.people.budgets import SERVER
from tests.store.graphs import Tokens


async def pay(store: Store, root: str, usd: float, thread: str = "") -> None:
    id = await store.ledger.reserve(thread or root, root, "main", "m", CostReservation(usd))
    await store.ledger.settle(id, Tokens(), usd)


async def owned(store: Store, name: str) -> str:
    user, thread = await store.users.add(name), await store.threads.create()
    await store.sharing.own(thread.id, user.id)
    await store.budgets.set(user.id, None, 1.0)
    return thread.id


async def test_the_budget_of_a_user_covers_all_threads_and_sub_agents(store: Store) -> None:
    thread, other = await owned(store, "ada"), await owned(store, "bob")
    await pay(store, thread, 0.6, "sub-agent")
    with pytest.raises(LimitReached, match=r"your budget of .* for this month"):
        await pay(store, thread, 0.5)
    await pay(store, other, 0.5)
    await pay(store, "of-nobody", 5)
    spent = {one.name: one.spent_this_month_usd for one in await store.budgets.list()}
    assert spent == pytest.approx({"": 6.1, "ada": 0.6, "bob": 0.5})


async def test_requests_that_are_open_count_with_their_highest_cost(store: Store) -> None:
    thread = await owned(store, "ada")
    await store.ledger.reserve(thread, thread, "main", "m", CostReservation(0.7))
    with pytest.raises(LimitReached):
        await store.ledger.reserve(thread, thread, "main", "m", CostReservation(0.7))


async def test_a_deleted_or_given_away_thread_still_counts(store: Store) -> None:
    thread, user = await owned(store, "ada"), await store.users.find("ada")
    await pay(store, thread, 0.9)
    await store.sharing.own(thread, (await store.users.add("bob")).id)
    await store.delete(thread)
    again = await store.threads.create()
    await store.sharing.own(again.id, user.id)
    with pytest.raises(LimitReached):
        await pay(store, again.id, 0.2)


async def test_the_budget_of_the_server_covers_everything(store: Store) -> None:
    await store.budgets.set(SERVER, 2.0, None)
    await pay(store, "a", 1.5)
    with pytest.raises(LimitReached, match=r"the server's budget of .* for today"):
        await pay(store, await owned(store, "ada"), 0.9)
    await store.budgets.set(SERVER, None, None)
    await pay(store, "a", 9)


async def test_a_budget_allows_few_requests_of_unknown_price(store: Store) -> None:
    thread, user = await owned(store, "ada"), await store.users.find("ada")
    await store.budgets.set(user.id, 0.04, None)
    for _ in range(2):
        await store.ledger.reserve(thread, thread, "main", "m")
    with pytest.raises(LimitReached):
        await store.ledger.reserve(thread, thread, "main", "m")
