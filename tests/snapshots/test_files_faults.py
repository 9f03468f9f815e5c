"""Snapshots under failures: limits, crashes, damage, other sessions, a missing folder."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from ml_intern.snapshots.git import SnapshotError
from ml_intern.snapshots.prune import delete_snapshots
from ml_intern.snapshots.records import shadow_folder
from ml_intern.snapshots.scan import Limits
from ml_intern.snapshots.workspace import RestoreRequest
from ml_intern.store.lock import open_lock_file, try_lock
from tests.snapshots.workspace import Workspace, picture


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(files=3, free_bytes=0), "more than 3 files"),
        (Limits(new_bytes=100, free_bytes=0), "0.0 GB of files would be copied"),
    ],
)
async def test_a_too_large_workspace_gets_no_snapshots_and_one_message(
    tmp_path: Path, limits: Limits, why: str
) -> None:
    workspace = Workspace(tmp_path / "work", tmp_path / "home", limits)
    for number in range(8):
        workspace.write(f"f{number}", "x" * 50)
    name = await workspace.take()
    assert await workspace.take() == ""
    assert len(workspace.problems) == 1
    assert why in workspace.problems[0]
    assert ".gitignore" in workspace.problems[0]
    assert why in await workspace.snapshots.restore_problem([name])


async def test_undo_works_when_the_turn_exceeded_the_snapshot_limits(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work", tmp_path / "home", Limits(files=3, new_bytes=100, free_bytes=0))
    workspace.write("a", "before")
    name = await workspace.take()
    for number in range(8):
        workspace.write(f"f{number}", "x" * 50)
    after = picture(workspace.folder)
    await workspace.restore(name)
    assert list(picture(workspace.folder)) == [b"a"]
    await workspace.redo()
    assert picture(workspace.folder) == after


async def test_no_snapshot_is_taken_when_the_disk_is_nearly_full(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work", tmp_path / "home", Limits(free_bytes=1 << 60))
    workspace.write("a")
    name = await workspace.take()
    assert "nearly full" in workspace.problems[0]
    assert "nearly full" in await workspace.snapshots.restore_problem([name])


async def test_the_next_session_takes_a_snapshot_that_a_crash_prevented(workspace: Workspace) -> None:
    workspace.write("a", "before")
    name = workspace.snapshots.name_of("minted before the crash")
    later = workspace.session()
    later.resume(name, "thread")
    await later.settled()
    workspace.write("a", "after")
    later.resume(name, "thread")
    await later.settled()
    await workspace.restore(name)
    assert workspace.read("a") == "before"


async def test_restore_uses_the_first_existing_snapshot(workspace: Workspace) -> None:
    never = workspace.snapshots.name_of("the process ended before it was taken")
    workspace.write("a", "before")
    name = await workspace.take()
    workspace.write("a", "after")
    await workspace.snapshots.restore(RestoreRequest([never, name], "thread", workspace.snapshots.name_of("undo")))
    assert workspace.read("a") == "before"
    assert await workspace.snapshots.restore_problem([never]) == "no snapshot was completed"


async def test_lock_files_of_a_killed_git_are_removed(workspace: Workspace) -> None:
    workspace.write("a", "before")
    await workspace.take()
    folder = shadow_folder(workspace.home.resolve(), workspace.folder.resolve())
    for index in list(folder.glob("index-*")):
        index.with_name(f"{index.name}.lock").write_text("")
    workspace.write("b", "before")
    name = await workspace.take()
    workspace.write("b", "after")
    await workspace.restore(name)
    assert workspace.read("b") == "before"
    assert workspace.problems == []


@pytest.mark.parametrize("damage", ["index", "objects"])
async def test_a_damaged_repository_is_rebuilt(workspace: Workspace, damage: str) -> None:
    workspace.write("a", "before")
    await workspace.take()
    folder = shadow_folder(workspace.home.resolve(), workspace.folder.resolve())
    if damage == "index":
        next(folder.glob("index-*")).write_bytes(b"DIRC garbage")
    else:
        shutil.rmtree(folder / "objects")
    name = await workspace.take()
    workspace.write("a", "after")
    await workspace.restore(name)
    assert workspace.read("a") == "before"


async def test_files_missing_from_the_repository_are_a_snapshot_error(workspace: Workspace) -> None:
    workspace.write("a", "before")
    name = await workspace.take()
    workspace.write("a", "after")
    shutil.rmtree(shadow_folder(workspace.home.resolve(), workspace.folder.resolve()) / "objects")
    with pytest.raises(SnapshotError):
        await workspace.restore(name)
    assert workspace.read("a") == "after"


@pytest.mark.parametrize("folder", ["records", "trees"])
async def test_a_damaged_record_is_reported(workspace: Workspace, folder: str) -> None:
    name = await workspace.take()
    shadow = shadow_folder(workspace.home.resolve(), workspace.folder.resolve())
    next((shadow / folder).glob("*.json")).write_text("{")
    assert "record is damaged" in await workspace.snapshots.restore_problem([name])


async def test_sessions_on_one_workspace_wait_for_each_other(workspace: Workspace) -> None:
    for number in range(20):
        workspace.write(f"f{number}", "before")
    before = picture(workspace.folder)
    sessions = [workspace.session() for _ in range(4)]
    names = [session.begin("thread") for session in sessions]
    await asyncio.gather(*(session.settled() for session in sessions))
    for number in range(20):
        workspace.write(f"f{number}", "after")
    await asyncio.gather(
        *(
            session.restore(RestoreRequest([name], "thread", session.name_of(f"before-{name[-8:]}")))
            for session, name in zip(sessions, names, strict=True)
        )
    )
    assert picture(workspace.folder) == before
    assert workspace.problems == []


async def test_a_closing_session_stops_waiting_for_the_lock(workspace: Workspace) -> None:
    workspace.write("a")
    folder = shadow_folder(workspace.home.resolve(), workspace.folder.resolve())
    folder.mkdir(parents=True)
    descriptor = open_lock_file(folder / "lock")
    try:
        assert try_lock(descriptor)
        name = workspace.snapshots.begin("thread")
        await workspace.snapshots.close()
    finally:
        os.close(descriptor)
    assert not await workspace.session().has_snapshot(name)
    assert workspace.problems == []


async def test_a_missing_workspace_is_reported_and_not_created(workspace: Workspace) -> None:
    workspace.write("a", "before")
    name = await workspace.take()
    workspace.folder.joinpath("a").unlink()
    workspace.folder.rmdir()
    assert await workspace.snapshots.restore_problem([name]) == f"the folder {workspace.folder} no longer exists"
    await workspace.take()
    assert len(workspace.problems) == 1
    assert "no longer exists" in workspace.problems[0]
    assert not workspace.folder.exists()


async def test_snapshots_of_another_folder_are_not_restored(workspace: Workspace, tmp_path: Path) -> None:
    name = await workspace.take()
    other = Workspace(tmp_path / "other", workspace.home)
    assert "another folder" in await other.snapshots.restore_problem([name])


async def test_deleting_a_threads_snapshots_preserves_those_of_others(workspace: Workspace) -> None:
    workspace.write("a", os.urandom(300_000))
    removed = await workspace.take()
    workspace.write("b", "before")
    workspace.write("a", "small")
    snapshots = workspace.session()
    remaining = snapshots.begin("another thread")
    await snapshots.settled()
    deleted = delete_snapshots(workspace.home, {"thread"})
    assert deleted.snapshots == 1
    assert deleted.freed > 300_000
    assert not await snapshots.has_snapshot(removed)
    workspace.write("b", "after")
    await workspace.restore(remaining)
    assert workspace.read("b") == "before"


async def test_snapshots_work_after_all_were_deleted(workspace: Workspace) -> None:
    workspace.write("a", "before")
    await workspace.take()
    assert delete_snapshots(workspace.home, {"thread"}).snapshots == 1
    name = await workspace.take()
    workspace.write("a", "after")
    await workspace.restore(name)
    assert workspace.read("a") == "before"


async def test_a_repeated_restore_leaves_the_snapshot_from_before_the_first(workspace: Workspace) -> None:
    workspace.write("a", "old")
    name = await workspace.take()
    workspace.write("a", "new")
    before = workspace.snapshots.name_of("before the undo")
    for _ in range(2):  # the process ends after the files are restored, and the undo is repeated
        await workspace.session().restore(RestoreRequest([name], "thread", before, all_files=True))
        assert workspace.read("a") == "old"
    redo = RestoreRequest([before], "thread", workspace.snapshots.name_of("before the redo"), all_files=True)
    await workspace.session().restore(redo)
    assert workspace.read("a") == "new"
