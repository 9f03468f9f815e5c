"""Opening the database: ownership, permissions, versions and damage."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from ml_intern.configs.errors import DatabaseUnusable, DiskFull, TemporaryError
from ml_intern.store.runs import RunRow
from ml_intern.store.sqlite.database import Database, open_database
from ml_intern.store.sqlite.schema import SCHEMA_VERSION
from ml_intern.store.store import DATABASE_NAME, Store
from tests.store.conftest import Start, finish, query, read_line
from tests.store.recovery.damage import overwrite_pages

pytestmark = pytest.mark.sqlite_file


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def run(database: Database, statement: str) -> object:
    return await database.read(lambda connection: connection.execute(statement).fetchone()[0])


async def test_the_folder_and_its_files_are_accessible_only_to_the_owner(home: Path) -> None:
    before = os.umask(0)
    try:
        async with await Store.open(home) as store:
            await store.threads.create(title="private")
            assert mode(home) == 0o700
            assert {path.name for path in home.iterdir()} >= {DATABASE_NAME, f"{DATABASE_NAME}-wal"}
            assert {mode(path) for path in home.iterdir()} == {0o600}
    finally:
        os.umask(before)


async def test_a_world_readable_file_is_made_private(home: Path) -> None:
    await (await Store.open(home)).close()
    (home / DATABASE_NAME).chmod(0o644)
    await (await Store.open(home)).close()
    assert mode(home / DATABASE_NAME) == 0o600


async def test_commits_are_synchronous_and_the_schema_is_not_trusted(store: Store) -> None:
    assert await run(store.file_database(), "PRAGMA journal_mode") == "wal"
    assert await run(store.file_database(), "PRAGMA synchronous") == 2
    assert await run(store.file_database(), "PRAGMA busy_timeout") == 10_000
    assert await run(store.file_database(), "PRAGMA trusted_schema") == 0
    assert await run(store.file_database(), "PRAGMA user_version") == SCHEMA_VERSION


async def test_a_symlink_is_rejected_and_its_target_unchanged(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    home.mkdir()
    (home / DATABASE_NAME).symlink_to(target)
    with pytest.raises(DatabaseUnusable, match="link"):
        await Store.open(home)
    assert target.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
@pytest.mark.parametrize("what", ["", DATABASE_NAME])
async def test_a_file_or_folder_of_another_user_is_rejected(home: Path, what: str) -> None:
    await (await Store.open(home)).close()
    os.chown(home / what, 65534, 65534)
    with pytest.raises(DatabaseUnusable, match="another user"):
        await Store.open(home)


async def test_a_shared_folder_is_rejected_and_its_mode_unchanged(home: Path) -> None:
    home.mkdir()
    home.chmod(0o1777)
    with pytest.raises(DatabaseUnusable, match="shared"):
        await Store.open(home)
    assert home.stat().st_mode & 0o7777 == 0o1777


async def test_an_older_schema_is_migrated_without_data_loss(home: Path) -> None:
    async with await Store.open(home) as store:
        await store.ledger.reserve("root", "root", "main", "m")
    query(home, "ALTER TABLE ledger DROP COLUMN cache_write_tokens")
    query(home, "ALTER TABLE threads DROP COLUMN options")
    query(home, "DROP TABLE tainted_files")
    for table in (
        "queued_messages",
        "event_numbers",
        "evidence",
        "searches",
        "attempts",
        "operations",
        "served_threads",
        "events",
        "schedules",
        "users",
        "access_tokens",
        "identities",
        "thread_access",
        "budgets",
        "user_keys",
        "audit",
    ):
        query(home, f"DROP TABLE {table}")
    for index in ("ledger_by_user", "ledger_by_time"):
        query(home, f"DROP INDEX {index}")
    query(home, "ALTER TABLE ledger DROP COLUMN user_id")
    query(home, "DROP TRIGGER experiments_end_with_their_runs")
    query(home, "DROP TABLE experiments")
    query(home, "ALTER TABLE runs DROP COLUMN backend")
    query(home, "PRAGMA user_version = 1")
    async with await Store.open(home) as store:
        assert (await store.ledger.total("root")).requests == 1
        await store.runs.add(RunRow("r", "root", "true", backend="hub"))
        assert [row.backend for row in await store.runs.list("root")] == ["hub"]
        assert await store.experiments.list() == []
        assert await store.threads.options("root") == {}
        assert await run(store.file_database(), "PRAGMA user_version") == SCHEMA_VERSION


async def test_a_newer_schema_is_rejected_and_unchanged(home: Path) -> None:
    await (await Store.open(home)).close()
    query(home, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = (home / DATABASE_NAME).read_bytes()
    with pytest.raises(DatabaseUnusable, match="newer ml-intern"):
        await Store.open(home)
    assert (home / DATABASE_NAME).read_bytes() == before


async def test_a_database_of_another_program_is_rejected_and_unchanged(home: Path) -> None:
    home.mkdir()
    query(home, "CREATE TABLE theirs (x)")
    with pytest.raises(DatabaseUnusable, match="another program"):
        await Store.open(home)
    assert query(home, "SELECT name FROM sqlite_schema") == [("theirs",)]


async def test_a_damaged_file_stays_as_it_is_and_every_start_names_the_remedy(home: Path) -> None:
    home.mkdir()
    (home / DATABASE_NAME).write_bytes(b"no database at all" * 500)
    for _ in range(2):
        with pytest.raises(DatabaseUnusable, match="is damaged") as raised:
            await Store.open(home)
        assert raised.value.remedy == "run `ml-intern doctor --repair`"
    assert (home / DATABASE_NAME).read_bytes() == b"no database at all" * 500


async def test_damage_found_while_running_ends_all_writes_and_is_found_again_at_the_next_start(home: Path) -> None:
    async with await Store.open(home) as store:
        for number in range(300):
            await store.threads.create(title=f"thread {number}" * 10)
        query(home, "PRAGMA wal_checkpoint(TRUNCATE)")
        overwrite_pages(home / DATABASE_NAME, every=3)
        with pytest.raises(DatabaseUnusable, match=r"is damaged.*doctor --repair"):
            await store.file_database().check()
        with pytest.raises(DatabaseUnusable, match="is damaged"):
            await store.threads.create(title="later")
    with pytest.raises(DatabaseUnusable, match="is damaged"):
        await Store.open(home)


CRASH = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from ml_intern.store.store import Store

    async def main():
        store = await Store.open(Path(sys.argv[1]))
        for number in range(300):
            await store.threads.create(title=f"thread {number}" * 10)
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
"""


async def test_committed_data_survives_a_kill(home: Path, start: Start) -> None:
    finish(start(CRASH, home))
    async with await Store.open(home) as store:
        assert len(await store.threads.list()) == 300
        assert await run(store.file_database(), "PRAGMA integrity_check") == "ok"


async def test_damage_after_a_crash_is_found_and_the_log_stays_with_the_file(home: Path, start: Start) -> None:
    finish(start(CRASH, home))
    path = home / DATABASE_NAME
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size // 2))
    log = home / f"{DATABASE_NAME}-wal"
    before = path.read_bytes(), log.read_bytes()
    with pytest.raises(DatabaseUnusable, match="damaged"):
        await Store.open(home)
    assert (path.read_bytes(), log.read_bytes()) == before


async def test_a_damaged_file_that_another_process_has_open_is_not_renamed(store: Store, home: Path) -> None:
    with (home / DATABASE_NAME).open("r+b") as file:
        file.write(b"x" * 100)
    (home / f"{DATABASE_NAME}-wal").write_bytes(b"")
    with pytest.raises(DatabaseUnusable):
        await open_database(home / DATABASE_NAME)
    assert (home / DATABASE_NAME).exists()


async def test_a_deleted_file_is_noticed_at_the_next_commit_and_its_content_is_saved(home: Path) -> None:
    async with await Store.open(home) as store:
        await store.threads.create(title="before")
        shutil.rmtree(home)

        with pytest.raises(DatabaseUnusable, match="was deleted while ml-intern used it") as raised:
            await store.threads.create(title="the commit that noticed it")
        with pytest.raises(DatabaseUnusable, match="was deleted"):
            await store.threads.create(title="later")

    [saved] = home.glob(f"{DATABASE_NAME}.rescued-*")
    assert raised.value.remedy == f"to continue, run: mv {saved} {home / DATABASE_NAME}"
    assert mode(saved) == 0o600
    saved.rename(home / DATABASE_NAME)
    async with await Store.open(home) as store:
        assert [row.title for row in await store.threads.list()] == ["the commit that noticed it", "before"]


async def test_a_full_disk_is_reported_and_writing_works_again_later(store: Store) -> None:
    pages = await run(store.file_database(), "PRAGMA page_count")
    await run(store.file_database(), f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull, match="no space"):
        await store.threads.create(title="x" * 100_000)
    assert await store.threads.list() == []
    await run(store.file_database(), "PRAGMA max_page_count = 1000000")
    await store.threads.create(title="x" * 100_000)
    assert len(await store.threads.list()) == 1


async def test_a_failed_transaction_is_rolled_back(store: Store) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO name_sets (names) VALUES ('half')")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        await store.file_database().write(work)
    assert await run(store.file_database(), "SELECT count(*) FROM name_sets") == 0


async def test_a_locked_database_is_a_temporary_error(store: Store, home: Path) -> None:
    await run(store.file_database(), "PRAGMA busy_timeout = 20")
    other = sqlite3.connect(home / DATABASE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TemporaryError, match="locked"):
        await store.threads.create()
    other.close()
    await store.threads.create()


OPEN_AND_WRITE = """
    import asyncio, sys
    from pathlib import Path
    from ml_intern.store.store import Store

    async def main():
        print("up", flush=True)
        sys.stdin.readline()
        async with await Store.open(Path(sys.argv[1])) as store:
            for _ in range(20):
                await store.threads.create(folder=sys.argv[2])

    asyncio.run(main())
"""


async def test_processes_that_start_together_share_one_database(home: Path, start: Start) -> None:
    processes = [start(OPEN_AND_WRITE, home, number) for number in range(6)]
    assert [read_line(process) for process in processes] == ["up"] * 6
    await asyncio.gather(*(asyncio.to_thread(finish, process, "go\n") for process in processes))
    assert [process.returncode for process in processes] == [0] * 6
    async with await Store.open(home) as store:
        assert len(await store.threads.list()) == 120


def test_a_program_that_never_closes_the_store_exits(home: Path, start: Start) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from ml_intern.store.store import Store

        loop = asyncio.new_event_loop()
        store = loop.run_until_complete(Store.open(Path(sys.argv[1])))
        print("open", flush=True)
        sys.exit(5)
    """
    process = start(program, home)
    assert finish(process) == "open\n"
    assert process.returncode == 5


def test_opening_the_store_and_listing_threads_does_not_import_langgraph(home: Path, start: Start) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from ml_intern.store.store import Store

        async def main():
            async with await Store.open(Path(sys.argv[1])) as store:
                await store.threads.list()
                print([name for name in sys.modules if name.partition(".")[0] in ("langgraph", "langchain_core")])

        asyncio.run(main())
    """
    assert finish(start(program, home)) == "[]\n"
