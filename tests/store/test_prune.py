"""Pruning: deleted checkpoints are gone, kept ones keep their ancestry, the file shrinks."""

from pathlib import Path

import pytest

from ml_intern.store.store import DATABASE_NAME, Store
from tests.store.conftest import query
from tests.store.graphs import Agent, config, question, write_checkpoints


@pytest.mark.sqlite_file
async def test_the_size_of_a_thread_is_the_size_of_its_rows(store: Store, home: Path) -> None:
    await write_checkpoints(store, "small", 1)
    app = Agent(5, result_bytes=20_000).compiled(await store.saver())
    await app.ainvoke(question("go"), config("large"), durability="sync")
    found = await store.checkpoints.sizes()
    assert found.keys() == {"small", "large"}
    assert found["large"] > 60_000 > found["small"] > 500
    rows = "SELECT (SELECT sum(length(body)) FROM checkpoints) + (SELECT sum(length(body)) FROM task_writes)"
    assert query(home, f"{rows} + (SELECT sum(length(raw)) FROM bases)") == [(sum(found.values()),)]


async def test_a_kept_checkpoint_gets_its_nearest_kept_ancestor_as_parent(store: Store) -> None:
    await write_checkpoints(store, "t", 3)
    checkpoint_refs = await store.checkpoints.all_of("t")
    line = [link.id for link in await store.checkpoints.lineage("t")]
    keep = {line[0], line[4], line[-1]}
    freed = await store.checkpoints.bytes_without("t", keep)
    before = (await store.checkpoints.sizes())["t"]
    await store.checkpoints.delete_others("t", checkpoint_refs, keep)
    assert [link.id for link in await store.checkpoints.lineage("t")] == [line[0], line[4], line[-1]]
    assert (await store.checkpoints.sizes())["t"] == before - freed


async def test_pruning_does_not_affect_other_threads(store: Store) -> None:
    await write_checkpoints(store, "t", 2)
    await write_checkpoints(store, "other", 2)
    before = await store.checkpoints.all_of("other")
    checkpoint_refs = await store.checkpoints.all_of("t")
    await store.checkpoints.delete_others("t", checkpoint_refs, {max(checkpoint_refs)})
    assert len(await store.checkpoints.all_of("t")) == 1
    assert await store.checkpoints.all_of("other") == before
    app = Agent(1).compiled(await store.saver())
    assert len((await app.aget_state(config("other"))).values["messages"]) == 6


@pytest.mark.sqlite_file
async def test_the_file_shrinks_after_threads_are_deleted(store: Store, home: Path) -> None:
    app = Agent(20, result_bytes=20_000).compiled(await store.saver())
    await app.ainvoke(question("go"), config("t"), durability="sync")
    await store.threads.list()
    await store.delete("t")
    size = (home / DATABASE_NAME).stat().st_size
    freed = await store.checkpoints.shrink()
    assert freed > 300_000
    assert (home / DATABASE_NAME).stat().st_size == size - freed
    assert (home / f"{DATABASE_NAME}-wal").stat().st_size == 0


@pytest.mark.sqlite_file
async def test_the_file_shrinks_while_another_process_has_it_open(store: Store, home: Path) -> None:
    app = Agent(20, result_bytes=20_000).compiled(await store.saver())
    await app.ainvoke(question("go"), config("t"), durability="sync")
    async with await Store.open(home) as other:
        await other.threads.list()
        await store.delete("t")
        assert await store.checkpoints.shrink() > 300_000
        assert await other.threads.list() == []
        await other.threads.create(title="after")
