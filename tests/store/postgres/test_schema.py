"""The tables on PostgreSQL: the same columns as in SQLite, made once by whoever comes first, refused if newer."""

from pathlib import Path

import psycopg
import pytest

from ml_intern.configs.errors import ConfigurationError, DatabaseUnusable, TemporaryError
from ml_intern.store.store import Store
from tests.fakes.postgres import PostgresServer
from tests.store.conftest import Start, finish, query

OF_CHECKPOINTS = {"lanes", "name_sets", "bases", "checkpoints", "task_writes"}
"""The tables of the SQLite saver; the other saver has its own."""


async def test_both_databases_have_the_same_columns(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    await (await Store.open(tmp_path / "file")).close()
    await (await Store.open(tmp_path / "server", url=url)).close()
    ours = "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'"
    theirs = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'ml_intern'"
    in_file = {found for found in query(tmp_path / "file", ours) if found[0] not in OF_CHECKPOINTS}
    with psycopg.connect(url) as connection:
        on_server = {found for found in connection.execute(theirs).fetchall() if found[1] != "rowid"}
    assert on_server - {("version", "number")} == in_file


async def test_processes_that_start_together_make_the_tables_once(
    tmp_path: Path, postgres: PostgresServer, start: Start
) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from ml_intern.store.store import Store

        async def main():
            async with await Store.open(Path(sys.argv[1]), url=sys.argv[2]) as store:
                await store.saver()
                await store.threads.create(title=sys.argv[1])

        asyncio.run(main())
    """
    url = postgres.new_database()
    processes = [start(program, tmp_path / str(number), url) for number in range(4)]
    for process in processes:
        finish(process)
    async with await Store.open(tmp_path, url=url) as store:
        assert len(await store.threads.list()) == 4


async def test_a_newer_database_is_refused(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.new_database()
    await (await Store.open(tmp_path, url=url)).close()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE ml_intern.version SET number = 999")
    with pytest.raises(DatabaseUnusable, match="newer ml-intern"):
        await Store.open(tmp_path, url=url)


@pytest.mark.parametrize("name", ["nobody", "postgresql://[", "postgresql://tests:secret@127.0.0.1:1/x"])
async def test_a_wrong_address_is_one_line_without_the_password(tmp_path: Path, name: str) -> None:
    with pytest.raises((ConfigurationError, TemporaryError)) as raised:
        await Store.open(tmp_path, url=name)
    assert "secret" not in str(raised.value)
