"""Repair: what can be read comes back, completed from the latest sound backup, and every thread can be loaded."""

from pathlib import Path

import pytest

from ml_intern.configs.errors import DatabaseUnusable, TemporaryError
from ml_intern.store.recovery.backups import list_backups, make_backup
from ml_intern.store.recovery.files import find_damage
from ml_intern.store.recovery.repair import Repaired, repair
from ml_intern.store.store import DATABASE_NAME, Store
from tests.store.conftest import query
from tests.store.graphs import Agent, config, question, write_checkpoints
from tests.store.recovery.damage import overwrite_pages

THREADS = ("a", "b", "c", "d", "e", "f")


async def run_turns(home: Path, turns: range) -> dict[str, list[str]]:
    """Run turns of every thread. Return the ids of each thread's messages."""
    async with await Store.open(home) as store:
        app = Agent(3, result_bytes=2_000).compiled(await store.saver())
        for thread in THREADS:
            for turn in turns:
                await app.ainvoke(question("go", turn), config(thread), durability="sync")
        await store.threads.list()
    return await message_ids(home)


async def message_ids(home: Path) -> dict[str, list[str]]:
    async with await Store.open(home) as store:
        app = Agent(1).compiled(await store.saver())
        states = {row.id: await app.aget_state(config(row.id)) for row in await store.threads.list()}
        return {id: [message.id for message in state.values["messages"]] for id, state in states.items()}


async def repaired(path: Path) -> Repaired:
    done = await repair(path)
    assert done is not None
    return done


@pytest.mark.parametrize(("every", "seed"), [(12, 1), (12, 2), (150, 3), (150, 4)])
async def test_overwritten_pages_cost_no_more_than_the_steps_since_the_backup(
    home: Path, every: int, seed: int
) -> None:
    path = home / DATABASE_NAME
    saved = await run_turns(home, range(1, 3))
    make_backup(path, 3)
    latest = await run_turns(home, range(3, 5))
    overwrite_pages(path, every=every, seed=seed)
    assert find_damage(path)

    done = await repaired(path)

    assert find_damage(path) == ""
    found = await message_ids(home)
    assert found.keys() == latest.keys()
    for thread in THREADS:
        assert found[thread] == latest[thread][: len(found[thread])]
        assert len(found[thread]) >= len(saved[thread])
    shortened = {one for one in THREADS if found[one] != latest[one]}
    assert {cut.thread_id for cut in done.cuts} <= shortened
    assert done.may_have_lost_steps or not shortened
    assert done.old is not None
    assert find_damage(done.old)


async def test_without_a_backup_threads_keep_what_is_whole(home: Path) -> None:
    path = home / DATABASE_NAME
    latest = await run_turns(home, range(1, 5))
    overwrite_pages(path, every=200)
    await repaired(path)
    found = await message_ids(home)
    assert any(found.get(thread) == latest[thread] for thread in THREADS)
    for thread in found:
        assert found[thread] == latest[thread][: len(found[thread])]


async def test_a_file_that_is_cut_off_is_completed_from_the_backup(home: Path) -> None:
    path = home / DATABASE_NAME
    saved = await run_turns(home, range(1, 3))
    make_backup(path, 3)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert (await repaired(path)).cuts == ()
    assert await message_ids(home) == saved


async def test_a_file_without_a_header_is_replaced_by_the_latest_sound_backup(home: Path) -> None:
    path = home / DATABASE_NAME
    saved = await run_turns(home, range(1, 2))
    make_backup(path, 3)
    await run_turns(home, range(2, 3))
    damaged = make_backup(path, 3)
    assert damaged is not None
    overwrite_pages(damaged, every=2)
    path.write_bytes(bytes(5_000))
    assert (await repaired(path)).backup == list_backups(path)[1]
    assert await message_ids(home) == saved


async def test_damaged_content_on_a_sound_page_comes_from_the_backup(home: Path) -> None:
    path = home / DATABASE_NAME
    saved = await run_turns(home, range(1, 2))
    make_backup(path, 3)
    query(home, "UPDATE task_writes SET body = randomblob(length(body)) WHERE no % 3 = 0")
    assert find_damage(path) == ""
    assert (await repaired(path)).cuts == ()
    assert await message_ids(home) == saved


async def test_without_anything_to_read_the_file_stays_and_the_remedy_is_named(home: Path) -> None:
    path = home / DATABASE_NAME
    home.mkdir(mode=0o700)
    path.write_bytes(b"no database at all" * 500)
    with pytest.raises(DatabaseUnusable, match=r"no sound backup .to start with an empty database, move it away: mv "):
        await repair(path)
    assert path.read_bytes() == b"no database at all" * 500


async def test_a_message_that_was_delivered_since_the_backup_is_not_queued_again(home: Path) -> None:
    path = home / DATABASE_NAME
    async with await Store.open(home) as store:
        await write_checkpoints(store, "t", 1)
        await store.database.write(
            lambda connection: (
                connection.execute("INSERT INTO queued_messages VALUES ('t', 'id', 1, 0, '{}', 0.0)").rowcount
            )
        )
        make_backup(path, 3)
        await store.database.write(lambda connection: connection.execute("DELETE FROM queued_messages").rowcount)
    [(root,)] = query(home, "SELECT rootpage FROM sqlite_schema WHERE name = 'queued_messages'")
    assert isinstance(root, int)
    overwrite_pages(path, every=1, first=root - 1, last=root)
    assert "queued_messages" in (await repaired(path)).incomplete
    assert query(home, "SELECT id FROM queued_messages") == []


async def test_a_sound_database_and_one_in_use_are_left_alone(home: Path) -> None:
    path = home / DATABASE_NAME
    await run_turns(home, range(1, 2))
    before = path.read_bytes()
    assert await repair(path) is None
    async with await Store.open(home):
        with pytest.raises(TemporaryError, match="another ml-intern process"):
            await repair(path)
    assert path.read_bytes() == before
