"""Deletion of the snapshots of deleted threads; those of other threads can still be restored."""

import os
from pathlib import Path

from ml_intern.snapshots.prune import count_snapshots, delete_snapshots, folder_size
from ml_intern.snapshots.workspace import RestoreRequest, Snapshots


def report(what: str, remedy: str) -> None:
    raise AssertionError(f"{what} ({remedy})")


async def snapshot(home: Path, workspace: Path, thread: str) -> str:
    files = Snapshots(home, workspace, report)
    name = files.begin(thread)
    await files.settled()
    await files.close()
    return name


async def test_only_contents_that_no_other_snapshot_needs_are_deleted(tmp_path: Path) -> None:
    home, workspace = tmp_path / "home", tmp_path / "work"
    workspace.mkdir()
    (workspace / "both").write_text("both\n")
    (workspace / "big").write_bytes(os.urandom(1_024_000))
    await snapshot(home, workspace, "gone")
    (workspace / "big").unlink()
    (workspace / "mine").write_text("mine\n")
    remaining = await snapshot(home, workspace, "kept")
    assert count_snapshots(home) == {"gone": 1, "kept": 1}
    before = folder_size(home)
    deleted = delete_snapshots(home, {"gone", "never there"})
    assert (deleted.snapshots, deleted.skipped) == (1, ())
    assert deleted.freed >= 1_000_000
    assert folder_size(home) < before - 1_000_000
    assert count_snapshots(home) == {"kept": 1}
    for name in ("both", "mine"):
        (workspace / name).write_text("changed\n")
    files = Snapshots(home, workspace, report)
    restored = await files.restore(RestoreRequest([remaining], "kept", files.name_of("before")))
    await files.close()
    assert {change.path for change in restored.changes} == {"both", "mine"}
    assert (workspace / "mine").read_text() == "mine\n"
    again = await snapshot(home, workspace, "kept")
    assert again != remaining


async def test_an_unreadable_record_is_not_deleted(tmp_path: Path) -> None:
    home, workspace = tmp_path / "home", tmp_path / "work"
    workspace.mkdir()
    await snapshot(home, workspace, "gone")
    (records,) = (home / "snapshots").glob("*/records")
    (records / "odd.json").write_text("{half")
    assert count_snapshots(home) == {"gone": 1}
    delete_snapshots(home, {"gone"})
    assert [path.name for path in records.iterdir()] == ["odd.json"]


def test_deleting_snapshots_of_an_unused_home_does_nothing(tmp_path: Path) -> None:
    assert count_snapshots(tmp_path) == {}
    assert delete_snapshots(tmp_path, {"x"}).snapshots == 0
