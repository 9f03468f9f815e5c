"""Results of reads are cached only while the table they came from is the same."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.store.ledger import CostReservation
from ml_intern.store.permissions import Grant
from ml_intern.store.store import Store
from tests.store.conftest import query

FOLDER = "/project"


async def granted(store: Store) -> list[str]:
    return [row.grant.tool for row in await store.permissions.in_force(FOLDER, "t")]


async def test_grants_follow_every_change_of_this_process(store: Store) -> None:
    seen = [await granted(store)]
    await store.permissions.add(FOLDER, None, [Grant("write")])
    seen.append(await granted(store))
    await store.permissions.remove((await store.permissions.list())[0].id)
    seen.append(await granted(store))
    assert seen == [[], ["write"], []]


async def test_a_read_that_began_before_a_change_is_not_cached(store: Store) -> None:
    before, _ = await asyncio.gather(granted(store), store.permissions.add(FOLDER, None, [Grant("write")]))
    assert (before, await granted(store)) == ([], ["write"])


@pytest.mark.sqlite_file
async def test_a_change_of_another_process_is_seen_after_the_next_transaction(store: Store, home: Path) -> None:
    assert await granted(store) == []
    query(
        home,
        f"INSERT INTO permissions (folder, thread_id, tool, prefix, created) VALUES ('{FOLDER}', '', 'write', '[]', 0)",
    )
    await store.ledger.reserve("t", "t", "main", "m", CostReservation())
    assert await granted(store) == ["write"]


async def test_locked_files_follow_their_unlocking(store: Store) -> None:
    await store.evidence.put("t", "lock", "/a", {"kind": "lock"})
    await store.evidence.put("t", "lock", "/b", {"kind": "lock"})
    seen = [await store.evidence.locked("t")]
    await store.evidence.put("t", "call", "1", {"kind": "call"})
    await store.evidence.unlock("t", "/a")
    assert [*seen, await store.evidence.locked("t")] == [("/a", "/b"), ("/b",)]


async def test_totals_follow_each_request(store: Store) -> None:
    open_requests = []
    for _ in range(2):
        id = await store.ledger.reserve("t", "t", "main", "m", CostReservation())
        open_requests.append((await store.ledger.total("t")).open_requests)
        closed = await store.ledger.fail(id, "no answer")
        assert await store.ledger.total("t") == closed
    assert open_requests == [1, 1]
    assert (await store.ledger.total("t")).requests == 2


async def test_nothing_is_cached_of_a_transaction_that_is_rolled_back(store: Store) -> None:
    id = await store.ledger.reserve("t", "t", "main", "m", CostReservation())
    await store.ledger.fail(id, "no answer")
    with pytest.raises(ValueError, match="no open entry"):
        await store.ledger.fail(id, "no answer")
    assert (await store.ledger.total("t")).requests == 1
