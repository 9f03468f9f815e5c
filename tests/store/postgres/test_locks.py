"""A thread on PostgreSQL has one holder on all machines, and who lost it writes nothing any more."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from ml_intern.configs.errors import TemporaryError, ThreadLocked
from ml_intern.store.store import Store
from tests.fakes.postgres import PostgresServer, running_server
from tests.store.conftest import Start, finish, read_line

HOLD = """
    import asyncio, sys
    from pathlib import Path
    from langgraph.checkpoint.base import empty_checkpoint
    from ml_intern.configs.errors import TemporaryError
    from ml_intern.store.journal import CallKey
    from ml_intern.store.store import Store

    async def main():
        async with await Store.open(Path(sys.argv[1]), url=sys.argv[2]) as store, store.hold("t"):
            saver = await store.saver()
            print("held", flush=True)
            sys.stdin.readline()
            config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
            try:
                await saver.aput(config, empty_checkpoint(), {"source": "input", "step": 1}, {})
                print("saved", flush=True)
            except TemporaryError as error:
                print("refused", flush=True)
            try:
                await store.journal.start(CallKey("t", "m", 0), "bash", "d")
                print("written", flush=True)
            except TemporaryError as error:
                print(error, flush=True)

    asyncio.run(main())
"""


STOP = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from langgraph.checkpoint.base import empty_checkpoint
    from ml_intern.store.store import Store

    async def main():
        async with await Store.open(Path(sys.argv[1]), url=sys.argv[2]) as store, store.hold("t"):
            saver = await store.saver()
            print("held", flush=True)
            config = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
            await saver.aput(config, empty_checkpoint(), {"source": "input", "step": 1}, {})
            os.kill(os.getpid(), signal.SIGSTOP)

    asyncio.run(main())
"""


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


async def test_a_thread_in_use_on_another_machine_is_refused(tmp_path: Path, url: str, start: Start) -> None:
    process = start(HOLD, tmp_path / "theirs", url)
    assert read_line(process) == "held"
    async with await Store.open(tmp_path / "ours", url=url) as store:
        await store.threads.create(id="t", state="running")
        with pytest.raises(ThreadLocked, match=f"ml-intern {process.pid} on "):
            async with store.hold("t"):
                pass
        found = await store.threads.get("t")
        assert found is not None
        assert found.state == "running"
        process.kill()
        finish(process)
        await until_held(store)
        found = await store.threads.get("t")
        assert found is not None
        assert found.state == "interrupted"


async def test_a_stopped_process_loses_its_thread_and_writes_nothing(tmp_path: Path, url: str, start: Start) -> None:
    process = start(HOLD, tmp_path / "theirs", url)
    assert read_line(process) == "held"
    os.kill(process.pid, signal.SIGSTOP)
    async with await Store.open(tmp_path / "ours", url=url) as store:
        await until_held(store)
        os.kill(process.pid, signal.SIGCONT)
        said = finish(process, "write\n")
        assert said.startswith("refused")
        assert "was lost" in said
        assert await store.journal.of_message("t", "m") == []
        assert await store.checkpoints.lineage("t") == []


async def test_a_process_that_stops_after_a_checkpoint_loses_its_thread(tmp_path: Path, url: str, start: Start) -> None:
    process = start(STOP, tmp_path / "theirs", url)
    assert read_line(process) == "held"
    try:
        async with await Store.open(tmp_path / "ours", url=url) as store:
            await store.saver()
            async with asyncio.timeout(120):
                await until_held(store)
    finally:
        process.kill()
        finish(process)


async def test_a_server_that_is_away_ends_the_lock_and_is_used_again_later(tmp_path: Path) -> None:
    with running_server() as server:
        async with await Store.open(tmp_path, url=server.new_database()) as store:
            await store.threads.create(id="t")
            async with store.hold("t"):
                server.stop()
                with pytest.raises(TemporaryError):
                    await store.threads.update("t", title="lost")
                server.start()
                with pytest.raises(TemporaryError, match="was lost"):
                    await store.threads.update("t", title="lost")
            assert (await store.threads.update("t", title="back")).title == "back"


async def until_held(store: Store) -> None:
    """Wait until the thread can be locked."""
    while True:
        try:
            async with store.hold("t"):
                return
        except ThreadLocked:
            continue
