"""Files in a snapshot are restored exactly; other files are left unchanged and listed."""

import os
import random
import socket
from pathlib import Path

import pytest

from ml_intern.snapshots import scan
from ml_intern.snapshots.records import Records, shadow_folder
from ml_intern.snapshots.scan import Limits
from ml_intern.snapshots.trees import Tree
from ml_intern.snapshots.workspace import RestoreRequest
from tests.snapshots.workspace import Workspace, git, picture, repository

NAMES = ["a", "b/c", "b/d/e", "f g", "h/i", "ü/ö", "j"]


def change(folder: Path, dice: random.Random) -> None:
    """Make random changes: write, remove or link files, or turn them into folders and back."""
    for _ in range(12):
        path = folder / dice.choice(NAMES)
        if any(parent.is_symlink() or parent.is_file() for parent in path.parents if parent.is_relative_to(folder)):
            path = next(
                p for p in reversed(path.parents) if p.is_relative_to(folder) and (p.is_symlink() or p.is_file())
            )
        clear(path)
        match dice.randrange(6):
            case 0:
                pass
            case 1:
                path.mkdir(parents=True)
            case 2:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(dice.choice(["a", "/nowhere", "b"]))
            case _:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(dice.randbytes(dice.randrange(200)))
                path.chmod(dice.choice([0o644, 0o755, 0o600]))


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            clear(child)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("seed", range(12))
async def test_random_changes_are_undone_and_redone_exactly(workspace: Workspace, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(3):
        change(workspace.folder, dice)
        name, before = await workspace.take(), picture(workspace.folder)
        change(workspace.folder, dice)
        after = picture(workspace.folder)
        await workspace.restore(name)
        assert picture(workspace.folder) == before
        await workspace.redo()
        assert picture(workspace.folder) == after


@pytest.mark.parametrize("seed", range(6))
async def test_a_later_snapshot_finds_what_a_first_one_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(scan, "_SETTLED_NS", 0)  # as if every change was long ago
    dice = random.Random(seed)
    workspace = Workspace(tmp_path / "work", tmp_path / "home")
    for number in range(6):
        change(workspace.folder, dice)
        if dice.random() < 0.5:
            clear(workspace.folder / ".gitignore")
            workspace.write(".gitignore", dice.choice(["", "a\n", "b/\n", "*\n!h/\n"]))
        later = await tree(workspace)
        assert later == await tree(Workspace(workspace.folder, tmp_path / f"other{number}"))
    assert later.id


async def tree(workspace: Workspace) -> Tree:
    """Take a snapshot and return its tree."""
    record = Records(shadow_folder(workspace.home.resolve(), workspace.folder.resolve())).read(await workspace.take())
    assert record is not None
    assert record.tree is not None
    return record.tree


async def test_files_with_unusual_names_are_restored(workspace: Workspace) -> None:
    odd = [
        "a\nb",
        " lead",
        "trail ",
        "-rf",
        "#x",
        "!y",
        ":(top)z",
        '"q"',
        "a\\b",
        "git~1",
        "*?[x]",
        "e\u0301",
        "\u00e9",
    ]
    for name in odd:
        workspace.write(f"{name}/{name}", name)
    raw = os.fsdecode(b"latin\xe9")
    workspace.write(raw, "bytes")
    name, before = await workspace.take(), picture(workspace.folder)
    clear(workspace.folder / raw)
    for one in odd:
        clear(workspace.folder / one)
    restored = await workspace.restore(name)
    assert picture(workspace.folder) == before
    assert len(restored.changes) == len(odd) + 1


async def test_gitattributes_of_the_user_do_not_change_file_contents(workspace: Workspace) -> None:
    workspace.write(
        ".gitattributes", "* text=auto eol=lf ident filter=lfs working-tree-encoding=UTF-16\n*.c eol=crlf\n"
    )
    workspace.write("a.txt", b"one\r\ntwo\n$Id$\r\n")
    workspace.write("b.c", b"one\ntwo\r\n\xff\xfe")
    name, before = await workspace.take(), picture(workspace.folder)
    workspace.write("a.txt", "other")
    workspace.write("b.c", "other")
    await workspace.restore(name)
    assert picture(workspace.folder) == before


async def test_all_permission_bits_are_restored(workspace: Workspace) -> None:
    workspace.write("secret", "s", 0o600)
    workspace.write("run", "r", 0o750)
    workspace.write("plain")
    name, before = await workspace.take(), picture(workspace.folder)
    clear(workspace.folder / "secret")
    workspace.write("run", "changed", 0o644)
    await workspace.restore(name)
    assert picture(workspace.folder) == before


async def test_empty_folders_are_restored_and_new_ones_removed(workspace: Workspace) -> None:
    (workspace.folder / "out").mkdir()
    workspace.write("src/a")
    (workspace.folder / "src/cache").mkdir()
    name, before = await workspace.take(), picture(workspace.folder)
    workspace.write("out/log")
    workspace.write("made/deep/log")
    (workspace.folder / "bare").mkdir()
    (workspace.folder / "src/cache").rmdir()
    await workspace.restore(name)
    assert picture(workspace.folder) == before


async def test_large_files_are_excluded_and_listed(workspace: Workspace) -> None:
    workspace.limits = Limits(file_bytes=1000, free_bytes=0)
    workspace.snapshots = workspace.session()
    workspace.write("large", b"x" * 2000)
    workspace.write("grows", b"y" * 10)
    name = await workspace.take()
    workspace.write("large", b"z" * 10)
    workspace.write("grows", b"y" * 3000)
    workspace.write("new", b"n" * 4000)
    restored = await workspace.restore(name)
    assert workspace.read("large") == "z" * 10
    assert "not in the snapshot" in restored.skipped["large"]
    assert workspace.read("grows") == "y" * 10
    assert set(restored.excluded) == {"new"}
    assert workspace.read("new") == "n" * 4000
    await workspace.redo()
    assert workspace.read("grows") == "y" * 3000


async def test_ignored_files_stay_and_are_listed(workspace: Workspace) -> None:
    workspace.write(".gitignore", "data/\n*.ckpt\n")
    for name in ("data/x", "m.ckpt", ".venv/bin/python", "kept"):
        workspace.write(name, "before")
    snapshot = await workspace.take()
    for name in ("data/x", "m.ckpt", ".venv/bin/python", "kept", "data/new"):
        workspace.write(name, "after")
    restored = await workspace.restore(snapshot)
    assert [change.path for change in restored.changes] == ["kept"]
    assert set(restored.ignored) == {"data/", "m.ckpt", ".venv/"}
    assert workspace.read("data/new") == workspace.read("m.ckpt") == "after"


async def test_files_ignored_at_the_snapshot_are_not_removed_even_if_not_ignored_now(workspace: Workspace) -> None:
    workspace.write(".gitignore", "data/\n")
    workspace.write("data/precious", "mine")
    workspace.write("sub/.gitignore", "own\n")
    workspace.write("sub/own", "mine")
    name = await workspace.take()
    workspace.write(".gitignore", "")
    clear(workspace.folder / "sub/.gitignore")
    workspace.write("added", "by the agent")
    preview = await workspace.snapshots.preview(RestoreRequest([name], "thread"))
    restored = await workspace.restore(name)
    assert preview.changes[0].path == ".gitignore"
    assert [change.path for change in restored.changes] == [change.path for change in preview.changes]
    assert workspace.read("data/precious") == workspace.read("sub/own") == "mine"
    assert not (workspace.folder / "added").exists()


async def test_files_ignored_only_now_are_restored(workspace: Workspace) -> None:
    workspace.write("src/a", "before")
    workspace.write("src/gone", "before")
    name = await workspace.take()
    workspace.write("src/a", "after")
    workspace.write("src/new", "after")
    clear(workspace.folder / "src/gone")
    workspace.write(".gitignore", "src/\n")
    await workspace.restore(name)
    assert workspace.read("src/a") == workspace.read("src/gone") == "before"
    await workspace.redo()
    assert workspace.read("src/a") == "after"


async def test_pipes_and_sockets_are_skipped(workspace: Workspace) -> None:
    os.mkfifo(workspace.folder / "pipe")
    workspace.write("turned", "file")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(workspace.folder / "socket"))
        name = await workspace.take()
        clear(workspace.folder / "turned")
        os.mkfifo(workspace.folder / "turned")
        workspace.write("new")
        restored = await workspace.restore(name)
    assert [change.path for change in restored.changes] == ["new"]
    assert restored.skipped == {"turned": "not a regular file"}
    assert workspace.problems == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_unreadable_files_are_excluded_and_listed(workspace: Workspace) -> None:
    workspace.write("closed", "c", 0o000)
    name = await workspace.take()
    workspace.write("new")
    restored = await workspace.restore(name)
    assert restored.excluded == {"closed": "not readable"}
    assert workspace.problems == []


async def test_nothing_is_written_or_removed_through_a_symlink(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("outside")
    workspace.write("d/f", "inside")
    workspace.write("e/f", "inside")
    workspace.write(".gitignore", "e\n!e/\n")
    name = await workspace.take()
    for link in ("d", "e"):
        clear(workspace.folder / link)
        (workspace.folder / link).symlink_to(outside)
    restored = await workspace.restore(name)
    assert workspace.read("d/f") == "inside"
    assert (outside / "f").read_text() == "outside"
    assert (workspace.folder / "e").is_symlink()
    assert "e is not a folder" in restored.skipped["e/f"]


async def test_a_folder_with_ignored_files_that_replaced_a_file_stays(workspace: Workspace) -> None:
    workspace.write("x", "file")
    workspace.write(".gitignore", "*.log\n")
    name = await workspace.take()
    clear(workspace.folder / "x")
    workspace.write("x/run.log", "ignored")
    restored = await workspace.restore(name)
    assert workspace.read("x/run.log") == "ignored"
    assert "is in its place" in restored.skipped["x"]


async def test_nested_repositories_are_excluded_and_listed(workspace: Workspace) -> None:
    repository(workspace.folder / "clone")
    workspace.write("clone/f", "before")
    (workspace.folder / "fresh").mkdir()
    git(workspace.folder / "fresh", "init", "-q")
    name = await workspace.take()
    workspace.write("clone/f", "after")
    repository(workspace.folder / "later")
    workspace.write("later/g", "g")
    workspace.write("own", "o")
    restored = await workspace.restore(name)
    assert [change.path for change in restored.changes] == ["own"]
    assert set(restored.excluded) == {"clone/", "fresh/", "later/"}
    assert workspace.read("clone/f") == "after"
    assert workspace.read("later/g") == "g"


async def test_a_folder_that_became_a_repository_is_restored(workspace: Workspace) -> None:
    workspace.write("proj/a", "before")
    name = await workspace.take()
    workspace.write("proj/a", "after")
    repository(workspace.folder / "proj")
    await workspace.restore(name)
    assert workspace.read("proj/a") == "before"


async def test_the_preview_counts_lines_and_changes_nothing(workspace: Workspace) -> None:
    workspace.write("text", "1\n2\n3\n")
    workspace.write("gone", "x\n")
    workspace.write("binary", b"\0\1")
    name = await workspace.take()
    workspace.write("text", "1\n2\n4\n5\n")
    clear(workspace.folder / "gone")
    workspace.write("binary", b"\0\2")
    workspace.write("new", "n\n")
    before = picture(workspace.folder)
    found = await workspace.snapshots.preview(RestoreRequest([name], "thread"))
    assert [(one.path, one.kind, one.added, one.removed) for one in found.changes] == [
        ("binary", "changed", None, None),
        ("gone", "created", 1, 0),
        ("new", "removed", 0, 1),
        ("text", "changed", 1, 2),
    ]
    assert picture(workspace.folder) == before
