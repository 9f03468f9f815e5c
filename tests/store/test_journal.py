"""The journal: the state of a call at any time, for as long as it is needed."""

from pathlib import Path

import pytest

from ml_intern.configs.errors import DiskFull
from ml_intern.store.journal import CallKey, JournalRow
from ml_intern.store.store import Store
from tests.store.conftest import Start, finish

KEY = CallKey("t", "m1", 0)


async def row_of(store: Store, key: CallKey) -> JournalRow | None:
    rows = await store.journal.of_message(key.thread_id, key.message_id)
    return next((row for row in rows if row.key == key), None)


async def test_starting_a_new_call_finds_no_entry(store: Store) -> None:
    assert await row_of(store, KEY) is None
    assert await store.journal.start(KEY, "bash", "digest") is None


async def test_a_started_call_is_open_until_it_finishes(store: Store) -> None:
    await store.journal.start(KEY, "bash", "digest")
    (row,) = await store.journal.open_calls("t")
    assert (row.key, row.tool, row.digest, row.status, row.result) == (KEY, "bash", "digest", "started", None)
    await store.journal.finish(KEY, {"text": "ü\n", "ok": True, "state": {"plan": [1]}})
    assert await store.journal.open_calls("t") == []
    found = await row_of(store, KEY)
    assert found is not None
    assert (found.status, found.result) == ("finished", {"text": "ü\n", "ok": True, "state": {"plan": [1]}})
    assert found.finished is not None
    assert found.finished >= found.started


async def test_a_call_of_a_new_message_clears_older_results_of_its_thread_only(store: Store) -> None:
    others = [CallKey("t", "m1", 1), CallKey("other", "m1", 0)]
    for key in (KEY, *others):
        await store.journal.start(key, "bash", "d")
        await store.journal.finish(key, {"text": "result"})
    await store.journal.start(CallKey("t", "m2", 0), "bash", "d")
    rows = [await row_of(store, key) for key in (KEY, *others)]
    assert [row.result if row else "missing" for row in rows] == [None, None, {"text": "result"}]
    assert [row.status if row else "missing" for row in rows] == ["finished"] * 3


async def test_the_calls_of_one_message_keep_their_results_and_order(store: Store) -> None:
    for index in (0, 1, 2):
        key = CallKey("t", "m1", index)
        await store.journal.start(key, "read", "d")
        await store.journal.finish(key, {"text": str(index)})
    rows = await store.journal.of_message("t", "m1")
    assert [(row.key.index, row.result) for row in rows] == [(n, {"text": str(n)}) for n in range(3)]
    assert await store.journal.of_message("t", "m2") == []


async def test_starting_a_call_again_returns_its_entry_unchanged(store: Store) -> None:
    await store.journal.start(KEY, "spawn", "d")
    await store.journal.set_handle(KEY, "child-thread")
    again = await store.journal.start(KEY, "spawn", "d2")
    assert again is not None
    assert (again.status, again.handle, again.digest) == ("started", "child-thread", "d")
    await store.journal.finish(KEY, {"text": "result"})
    over = await store.journal.start(KEY, "spawn", "d3")
    assert over is not None
    assert (over.status, over.result) == ("finished", {"text": "result"})
    assert await row_of(store, KEY) == over


async def test_a_call_that_was_not_started_cannot_finish_or_get_a_handle(store: Store) -> None:
    with pytest.raises(KeyError):
        await store.journal.finish(KEY, {})
    with pytest.raises(KeyError):
        await store.journal.set_handle(KEY, "h")


@pytest.mark.sqlite_file
async def test_a_start_that_fails_on_a_full_disk_changes_nothing(store: Store) -> None:
    await store.journal.start(KEY, "bash", "d")
    await store.journal.finish(KEY, {"text": "result"})
    await store.database.read(lambda db: db.execute("PRAGMA max_page_count = 1").fetchone())
    later = CallKey("t", "m2", 0)
    with pytest.raises(DiskFull):
        await store.journal.start(later, "bash", "x" * 100_000)
    assert await row_of(store, later) is None
    row = await row_of(store, KEY)
    assert row is not None
    assert row.result == {"text": "result"}


async def test_start_and_finish_are_on_disk_when_they_return(home: Path, start: Start) -> None:
    program = """
        import asyncio, os, signal, sys
        from pathlib import Path
        from ml_intern.store.journal import CallKey, JournalRow
        from ml_intern.store.store import Store

        async def main():
            store = await Store.open(Path(sys.argv[1]))
            await store.journal.start(CallKey("t", "m", 0), "bash", "d")
            await store.journal.finish(CallKey("t", "m", 0), {"text": "done"})
            await store.journal.start(CallKey("t", "m", 1), "bash", "d")
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    finish(start(program, home))
    async with await Store.open(home) as store:
        rows = await store.journal.of_message("t", "m")
        assert [(row.status, row.result) for row in rows] == [("finished", {"text": "done"}), ("started", None)]
