"""Backups: complete, private, rotated, made when due, and never of a damaged database."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ml_intern.configs.errors import DatabaseUnusable, TemporaryError, UsageError
from ml_intern.store.recovery.backups import BackupRule, Backups, backup_folder, copy_to, list_backups, make_backup
from ml_intern.store.recovery.repair import restore
from ml_intern.store.store import DATABASE_NAME, Store
from tests.store.conftest import ROOT
from tests.store.graphs import Agent, config, write_checkpoints
from tests.store.recovery.damage import overwrite_pages

pytestmark = pytest.mark.sqlite_file


async def titles(home: Path) -> list[str]:
    async with await Store.open(home) as store:
        return sorted(row.title for row in await store.threads.list())


async def test_a_copy_is_complete_and_private_and_can_be_used(store: Store, tmp_path: Path) -> None:
    await write_checkpoints(store, "t", 2)
    copy = tmp_path / "copy" / DATABASE_NAME
    copy.parent.mkdir(mode=0o700)
    copy_to(store.file_database().path, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with await Store.open(copy.parent) as other:
        assert [row.id for row in await other.threads.list()] == ["t"]
        app = Agent(1).compiled(await other.saver())
        assert len((await app.aget_state(config("t"))).values["messages"]) == 6


async def test_a_copy_never_overwrites_a_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    for target in (tmp_path / "there", tmp_path / "no folder" / "file"):
        with pytest.raises(UsageError, match="cannot be created"):
            copy_to(store.file_database().path, target)
    assert (tmp_path / "there").read_text() == "mine"


async def test_a_backup_is_made_after_so_many_turns_of_all_sessions_and_the_oldest_ones_go(home: Path) -> None:
    made = []
    for turn in range(8):
        async with await Store.open(home) as store:
            await store.threads.create(title=f"turn {turn}")
            await Backups(store.file_database(), BackupRule(turns=2, keep=2)).after_turn()
            made.append(len(list_backups(store.file_database().path)))
    assert made == [0, 1, 1, 2, 2, 2, 2, 2]
    await restore(home / DATABASE_NAME, list_backups(home / DATABASE_NAME)[1])
    assert await titles(home) == [f"turn {turn}" for turn in range(6)]


async def test_no_backup_is_made_if_none_are_wanted(store: Store) -> None:
    await Backups(store.file_database(), BackupRule(turns=0)).after_turn()
    assert not backup_folder(store.file_database().path).exists()


async def test_a_damaged_database_never_replaces_a_backup(home: Path) -> None:
    path = home / DATABASE_NAME
    async with await Store.open(home) as store:
        await write_checkpoints(store, "t", 40)
    first = make_backup(path, keep=1)
    overwrite_pages(path, every=2)
    with pytest.raises(DatabaseUnusable, match=r"is damaged.*doctor --repair"):
        make_backup(path, keep=1)
    assert list_backups(path) == [first]
    assert [file.suffix for file in backup_folder(path).iterdir() if file.name.startswith("threads")] == [".db"]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from ml_intern.store.recovery import backups, files

    files.sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
    backups.make_backup(Path(sys.argv[1]), 3)
"""


async def test_a_killed_backup_leaves_no_backup_and_the_next_one_is_made(store: Store) -> None:
    path = store.file_database().path
    await store.threads.create(title="before")
    program = "\n".join(line.removeprefix("    ") for line in KILLED.splitlines())
    command = [sys.executable, "-c", program, str(path)]
    killed = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list_backups(path) == []
    assert make_backup(path, 3) in list_backups(path)


async def test_a_restore_keeps_the_old_database_and_needs_the_new_one_to_be_sound(home: Path, tmp_path: Path) -> None:
    path = home / DATABASE_NAME
    async with await Store.open(home) as store:
        await store.threads.create(title="saved")
        backup = make_backup(path, 3)
        assert backup is not None
        await store.threads.create(title="later")
        with pytest.raises(TemporaryError, match="another ml-intern process"):
            await restore(path, backup)
    done = await restore(path, backup)
    assert await titles(home) == ["saved"]
    assert done.old is not None
    await restore(path, done.old)
    assert await titles(home) == ["later", "saved"]
    (tmp_path / "other").write_text("no database")
    with pytest.raises(UsageError, match="is not a sound database"):
        await restore(path, tmp_path / "other")
    assert await titles(home) == ["later", "saved"]
