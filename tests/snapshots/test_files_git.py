"""The user's own repository is read for its ignore patterns and never changed."""

import os
from pathlib import Path

import pytest

from ml_intern.snapshots.workspace import Snapshots
from tests.snapshots.workspace import Picture, Workspace, git, picture, repository


def insides(repo: Path) -> tuple[Picture, str, str, str, str]:
    """Return every byte of the user's repository and the output of read-only git commands."""
    outputs = (
        git(repo, "status", "--porcelain=v2", "--branch", "--ignored"),
        git(repo, "for-each-ref"),
        git(repo, "stash", "list"),
        git(repo, "config", "--list", "--local"),
    )
    return (picture(repo / ".git"), *outputs)


def dirty(folder: Path) -> Workspace:
    """A repository with staged, stashed and ignored files, hooks and a submodule."""
    upstream = repository(folder / "upstream")
    (upstream / "lib").write_text("lib")
    git(upstream, "add", "-A")
    git(upstream, "commit", "-q", "-m", "lib")
    workspace = Workspace(folder / "repo", folder / "home")
    workspace.write("tracked", "one\n")
    workspace.write("staged", "one\n")
    workspace.write(".gitignore", "ignored\n")
    repo = repository(workspace.folder)
    git(repo, "submodule", "add", "-q", str(upstream), "sub")
    workspace.write("tracked", "stashed\n")
    git(repo, "stash", "push", "-q", "tracked")
    workspace.write("staged", "two\n")
    git(repo, "add", "staged")
    workspace.write("staged", "three\n")
    workspace.write("untracked", "u\n")
    workspace.write("ignored", "i\n")
    for hook in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction"):
        workspace.write(f".git/hooks/{hook}", f"#!/bin/sh\ntouch {folder}/hook-ran\n", 0o755)
    git(repo, "config", "core.fsmonitor", f"{folder}/repo/.git/hooks/pre-commit")
    (folder / "hook-ran").unlink(missing_ok=True)
    return workspace


async def test_a_users_repository_is_not_changed_by_snapshots_and_undo(tmp_path: Path) -> None:
    workspace = dirty(tmp_path)
    before, files = insides(workspace.folder), picture(workspace.folder)
    (tmp_path / "hook-ran").unlink(missing_ok=True)
    name = await workspace.take()
    assert not (tmp_path / "hook-ran").exists()
    assert insides(workspace.folder) == before
    workspace.write("tracked", "by the agent\n")
    (workspace.folder / "staged").unlink()
    workspace.write("made/by/agent", "new\n")
    restored = await workspace.restore(name)
    assert set(restored.excluded) == {"sub/"}
    assert insides(workspace.folder) == before
    assert picture(workspace.folder) == files
    await workspace.redo()
    assert workspace.read("tracked") == "by the agent\n"


async def test_a_subfolder_of_a_repository_is_restored_alone_with_the_repositorys_ignores(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "repo/part/work", tmp_path / "home")
    (tmp_path / "repo/.gitignore").write_text("*.ckpt\n/part/work/data/\n")
    (tmp_path / "repo/beside").write_text("before")
    repository(tmp_path / "repo")
    (tmp_path / "repo/.git/info/exclude").write_text("private\n")
    for name in ("m.ckpt", "data/d", "private", "own"):
        workspace.write(name, "before")
    snapshot = await workspace.take()
    for name in ("m.ckpt", "data/d", "private", "own", "new"):
        workspace.write(name, "after")
    (tmp_path / "repo/beside").write_text("after")
    (tmp_path / "repo/.gitignore").write_text("")
    restored = await workspace.restore(snapshot)
    assert [(one.path, one.kind) for one in restored.changes] == [("new", "removed"), ("own", "changed")]
    assert (tmp_path / "repo/beside").read_text() == "after"


async def test_a_workspace_ignored_by_its_repository_is_restored(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "dotfiles/work", tmp_path / "home")
    (tmp_path / "dotfiles/.gitignore").write_text("*\n")
    repository(tmp_path / "dotfiles")
    workspace.write("own", "before")
    name = await workspace.take()
    workspace.write("own", "after")
    await workspace.restore(name)
    assert workspace.read("own") == "before"


async def test_the_users_global_ignore_file_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ignore").write_text("*.swp\n")
    (tmp_path / "gitconfig").write_text(f"[core]\n\texcludesFile = {tmp_path}/ignore\n\tautocrlf = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    workspace = Workspace(tmp_path / "work", tmp_path / "home")
    workspace.write("a.swp", "before")
    workspace.write("crlf", b"a\r\nb\r\n")
    name = await workspace.take()
    workspace.write("a.swp", "after")
    workspace.write("crlf", b"changed")
    restored = await workspace.restore(name)
    assert restored.ignored == ("a.swp",)
    assert (workspace.folder / "crlf").read_bytes() == b"a\r\nb\r\n"
    assert workspace.read("a.swp") == "after"


async def test_git_variables_of_a_parent_git_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = repository(tmp_path / "other")
    before = picture(other / ".git")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / ".git/objects"))
    workspace = Workspace(tmp_path / "work", tmp_path / "home")
    workspace.write("a", "before")
    name = await workspace.take()
    workspace.write("a", "after")
    await workspace.restore(name)
    assert workspace.read("a") == "before"
    assert picture(other / ".git") == before


async def test_the_data_home_is_never_in_a_snapshot(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path / "home [1]")
    workspace.write("a", "before")
    name = await workspace.take()
    (workspace.home / "threads.db").write_text("spent")
    workspace.write("a", "after")
    restored = await workspace.restore(name)
    assert [change.path for change in restored.changes] == ["a"]
    assert (workspace.home / "threads.db").read_text() == "spent"


async def test_without_git_a_note_says_that_undo_cannot_restore_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    workspace = Workspace(tmp_path / "work", tmp_path / "home")
    assert await workspace.take() == ""
    assert workspace.snapshots.notes == ("undo cannot restore files: git is not on PATH",)
    assert await workspace.snapshots.restore_problem([""]) == "git is not on PATH"


@pytest.mark.parametrize("folder", ["/", "~", "~/.."])
async def test_root_and_home_get_no_snapshots(tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    session = Snapshots(tmp_path / "data", Path(os.path.expanduser(folder)), lambda what, remedy: None)  # noqa: PTH111
    assert "too large for snapshots" in session.notes[0]
    assert session.begin("thread") == ""
