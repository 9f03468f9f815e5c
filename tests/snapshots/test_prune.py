"""Snapshots of threads that are no more: they leave the disk, those of others stay and can be gone back to."""

from pathlib import Path

from ml_intern.snapshots.prune import forget_snapshots, recorded_threads, size_of
from ml_intern.snapshots.workspace import Snapshots


def say(what: str, remedy: str) -> None:
    raise AssertionError(f"{what} ({remedy})")


async def snapshot(home: Path, workspace: Path, thread: str) -> str:
    files = Snapshots(home, workspace, say)
    name = files.begin(thread)
    await files.settled()
    await files.close()
    return name


async def test_only_what_others_do_not_need_goes(tmp_path: Path) -> None:
    home, workspace = tmp_path / "home", tmp_path / "work"
    workspace.mkdir()
    (workspace / "both").write_text("both\n")
    (workspace / "big").write_bytes(bytes(range(256)) * 4_000)
    await snapshot(home, workspace, "gone")
    (workspace / "big").unlink()
    (workspace / "mine").write_text("mine\n")
    kept = await snapshot(home, workspace, "kept")
    assert recorded_threads(home) == {"gone": 1, "kept": 1}
    before = size_of(home)
    forgotten = forget_snapshots(home, {"gone", "never there"})
    assert (forgotten.snapshots, forgotten.left_alone) == (1, ())
    assert forgotten.freed >= 1_000_000
    assert size_of(home) < before - 1_000_000
    assert recorded_threads(home) == {"kept": 1}
    for name in ("both", "mine"):
        (workspace / name).write_text("changed\n")
    files = Snapshots(home, workspace, say)
    restored = await files.restore([kept], files.name_of("before"), "kept")
    await files.close()
    assert {change.path for change in restored.changes} == {"both", "mine"}
    assert (workspace / "mine").read_text() == "mine\n"
    again = await snapshot(home, workspace, "kept")
    assert again != kept


async def test_a_record_that_cannot_be_read_stays(tmp_path: Path) -> None:
    home, workspace = tmp_path / "home", tmp_path / "work"
    workspace.mkdir()
    await snapshot(home, workspace, "gone")
    (records,) = (home / "snapshots").glob("*/records")
    (records / "odd.json").write_text("{half")
    assert recorded_threads(home) == {"gone": 1}
    forget_snapshots(home, {"gone"})
    assert [path.name for path in records.iterdir()] == ["odd.json"]


def test_where_there_are_none_nothing_happens(tmp_path: Path) -> None:
    assert recorded_threads(tmp_path) == {}
    assert forget_snapshots(tmp_path, {"x"}).snapshots == 0
