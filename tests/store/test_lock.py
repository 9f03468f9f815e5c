"""One process uses a thread at a time; others get its process id, and the thread once that process ends."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from ml_intern.configs.errors import ConfigurationError, ThreadLocked
from ml_intern.store.lock import acquire_lock, lock_path, open_lock_file
from ml_intern.store.store import Store
from tests.store.conftest import Start, finish, read_line

HOLD = """
    import asyncio, sys
    from pathlib import Path
    from ml_intern.store.store import Store

    async def main():
        async with await Store.open(Path(sys.argv[1])) as store, store.hold(sys.argv[2]):
            print("held", flush=True)
            sys.stdin.readline()

    asyncio.run(main())
"""


@pytest.mark.sqlite_file
async def test_a_thread_in_use_is_refused_with_the_other_process_id(store: Store, start: Start) -> None:
    process = start(HOLD, store.home, "t1")
    assert read_line(process) == "held"
    with pytest.raises(ThreadLocked, match=f"process {process.pid}") as raised:
        async with store.hold("t1"):
            pass
    assert raised.value.exit_code == 75
    async with store.hold("t2"):
        pass
    finish(process, "done\n")
    async with store.hold("t1"):
        pass


@pytest.mark.sqlite_file
async def test_a_killed_process_releases_its_thread(store: Store, start: Start) -> None:
    process = start(HOLD, store.home, "t1")
    assert read_line(process) == "held"
    process.send_signal(signal.SIGKILL)
    finish(process)
    async with store.hold("t1"):
        pass


async def test_of_many_processes_exactly_one_gets_a_thread(home: Path, start: Start) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from ml_intern.configs.errors import ConfigurationError, ThreadLocked
        from ml_intern.store.store import Store

        async def main():
            async with await Store.open(Path(sys.argv[1])) as store:
                try:
                    async with store.hold("t1"):
                        print("held", flush=True)
                        sys.stdin.readline()
                except ThreadLocked:
                    print("refused", flush=True)

        asyncio.run(main())
    """
    processes = [start(program, home) for _ in range(6)]
    assert sorted(read_line(process) for process in processes) == ["held"] + ["refused"] * 5
    for process in processes:
        finish(process, "done\n")


async def test_two_sessions_of_one_process_exclude_each_other(store: Store) -> None:
    async with store.hold("t1"):
        with pytest.raises(ThreadLocked):
            async with store.hold("t1"):
                pass


async def test_a_lock_file_deleted_with_its_thread_is_not_reused(store: Store) -> None:
    await store.threads.create(id="t1")
    folder = store.home / "locks"
    async with store.hold("t1"):
        stale = open_lock_file(lock_path(folder, "t1"))
    await store.delete("t1")
    assert list(folder.iterdir()) == []
    with pytest.raises(ThreadLocked):
        acquire_lock(stale, "t1")
    os.close(stale)


async def test_the_lock_is_released_when_the_block_fails(store: Store) -> None:
    with pytest.raises(RuntimeError, match="failed"):
        async with store.hold("t1"):
            raise RuntimeError("failed")
    async with store.hold("t1"):
        pass


async def test_cancelling_during_locking_releases_the_lock(store: Store) -> None:
    async def run() -> None:
        async with store.hold("t1"):
            await asyncio.Event().wait()

    for _ in range(20):
        task = asyncio.create_task(run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    async with asyncio.timeout(30):
        await until_free(store, "t1")


async def until_free(store: Store, thread_id: str) -> None:
    while True:
        try:
            async with store.hold(thread_id):
                return
        except ThreadLocked:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("id", ["../../etc/passwd", "a/b", "", ".", "x" * 300, "ünï"])
def test_a_lock_file_is_in_its_folder_for_any_id(id: str, tmp_path: Path) -> None:
    assert lock_path(tmp_path, id).parent == tmp_path
    assert len(lock_path(tmp_path, id).name) < 110


@pytest.mark.sqlite_file
async def test_a_lock_file_that_is_a_symlink_is_rejected(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    path = lock_path(store.home / "locks", "t1")
    path.parent.mkdir()
    path.symlink_to(target)
    with pytest.raises(ConfigurationError, match="symbolic links"):
        async with store.hold("t1"):
            pass
    assert target.read_text() == "mine"
