"""The files of a search: the baseline is what the user has now, and nothing of the user's is touched."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ml_intern.configs.errors import UsageError
from ml_intern.search.files.applying import apply_commit, undo_commit
from ml_intern.search.files.copies import LARGE
from ml_intern.search.files.worktrees import SearchFiles
from ml_intern.search.tree import Attempt


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, and a data folder beside it."""
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path / "home"))
    place = tmp_path / "work"
    (place / "data").mkdir(parents=True)
    (place / "train.py").write_text("one\n")
    (place / "data" / "train.csv").write_text("1,2\n")
    return place


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=u", "-c", "user.email=u@localhost")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(folder: Path) -> Path:
    (folder / ".gitignore").write_text("data/\n.env\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    return folder


def state(folder: Path) -> tuple[str, str, str]:
    return git(folder, "status", "--porcelain"), git(folder, "rev-parse", "HEAD"), git(folder, "diff")


def test_the_baseline_has_uncommitted_changes_and_data_and_touches_nothing(repository: Path) -> None:
    (repository / "train.py").write_text("changed\n")
    (repository / "new.py").write_text("new\n")
    (repository / ".env").write_text("KEY=1")
    with (repository / "data" / "big.bin").open("wb") as file:
        file.truncate(LARGE)
    with (repository / "model.bin").open("wb") as file:
        file.truncate(LARGE)
    before = state(repository)
    files = SearchFiles.of("s1", repository)
    workspace = files.open(0, files.begin())
    assert state(repository) == before
    assert (workspace / "train.py").read_text() == "changed\n"
    assert (workspace / "new.py").read_text() == "new\n"
    assert (workspace / "data").resolve() == repository / "data"
    assert (workspace / "model.bin").is_symlink()
    assert not (workspace / ".env").exists()
    assert set(files.shown(0)) == {str(repository / "data"), str(repository / "model.bin")}


def test_small_data_is_copied_and_the_holdout_is_left_out(repository: Path) -> None:
    (repository / "data" / "hidden.csv").write_text("3,4\n")
    (repository / "kept.csv").write_text("3,4\n")
    files = SearchFiles.of("s1", repository, str(repository / "kept.csv"))
    workspace = files.open(0, files.begin())
    assert (workspace / "data" / "train.csv").read_text() == "1,2\n"
    assert not (workspace / "data").is_symlink()
    assert not (workspace / "kept.csv").exists()
    assert git(repository, "ls-tree", "--name-only", files.branch(0)).split() == [".gitignore", "train.py"]


def test_a_commit_has_the_change_and_a_missing_worktree_is_made_anew(repository: Path) -> None:
    with (repository / "model.bin").open("wb") as file:
        file.truncate(LARGE)
    files = SearchFiles.of("s1", repository)
    start = files.begin()
    (files.open(1, start) / "train.py").write_text("better\n")
    commit = files.commit(1, "An idea")
    assert files.changed(start, commit) == ["train.py"]
    assert files.change_line(start, commit) == "train.py +1 -1"
    shutil.rmtree(files.worktree(1))
    assert (files.open(1, start) / "train.py").read_text() == "better\n"
    files.close_all()
    assert not files.worktree(1).exists()
    assert git(repository, "rev-parse", files.branch(1)).strip() == commit


def test_what_a_killed_git_left_is_made_anew(repository: Path) -> None:
    files = SearchFiles.of("s1", repository)
    start = files.begin()
    git(repository, "worktree", "add", "-q", "--no-checkout", str(files.worktree(1)), "-b", files.branch(1), start)
    (repository / ".git/worktrees/improve-s1-1/locked").write_text("initializing\n")
    workspace = files.open(1, start)
    assert (workspace / "train.py").read_text() == "one\n"
    (workspace / "train.py").write_text("better\n")
    for lock in (".git/worktrees/improve-s1-1/index.lock", f".git/refs/heads/{files.branch(1)}.lock"):
        (repository / lock).touch()
    assert (files.open(1, start) / "train.py").read_text() == "better\n"
    files.commit(1, "better")


def test_two_changes_are_merged_and_one_is_taken_out(repository: Path) -> None:
    files = SearchFiles.of("s1", repository)
    start = files.begin()
    for number, name in ((1, "a.py"), (2, "b.py")):
        (files.open(number, start) / name).write_text(name)
    first, second = files.commit(1, "a"), files.commit(2, "b")
    files.open(3, first)
    assert files.merge(3, second)
    both = files.commit(3, "both")
    assert files.changed(start, both) == ["a.py", "b.py"]
    files.open("without-1", both)
    assert files.revert("without-1", start, first)
    assert not (files.worktree("without-1") / "a.py").exists()


def test_an_attempt_is_applied_and_undone_only_when_nothing_is_lost(repository: Path) -> None:
    files = SearchFiles.of("s1", repository)
    (repository / "notes.txt").write_text("untracked\n")
    start = files.begin()
    (files.open(1, start) / "train.py").write_text("better\n")
    attempt = Attempt(1, "improve", "accepted", (0,), commit=files.commit(1, "x"), branch=files.branch(1))
    before = state(repository)
    assert (repository / "notes.txt").read_text() == "untracked\n"  # it is in the baseline, and not in the way
    (repository / "train.py").write_text("mine\n")
    with pytest.raises(UsageError, match="uncommitted changes"):
        apply_commit(files, start, attempt)
    git(repository, "checkout", "-q", "train.py")
    apply_commit(files, start, attempt)
    assert (repository / "train.py").read_text() == "better\n"
    undo_commit(files)
    assert state(repository) == before
    apply_commit(files, start, attempt)
    git(repository, "commit", "-q", "--allow-empty", "-m", "mine")
    with pytest.raises(UsageError, match="commits after it"):
        undo_commit(files)


def test_a_folder_without_git_gets_a_repository_outside(folder: Path) -> None:
    files = SearchFiles.of("s1", folder)
    start = files.begin()
    (files.open(1, start) / "train.py").write_text("better\n")
    attempt = Attempt(1, "improve", "accepted", (0,), commit=files.commit(1, "x"), branch=files.branch(1))
    assert sorted(path.name for path in folder.iterdir()) == ["data", "train.py"]
    apply_commit(files, start, attempt)
    assert (folder / "train.py").read_text() == "better\n"
    undo_commit(files)
    assert (folder / "train.py").read_text() == "one\n"
    assert sorted(path.name for path in folder.iterdir()) == ["data", "train.py"]


def test_a_folder_below_the_top_of_its_repository_works(repository: Path) -> None:
    (repository / "part").mkdir()
    (repository / "part" / "x.py").write_text("x\n")
    files = SearchFiles.of("s1", repository / "part")
    workspace = files.open(1, files.begin())
    assert (workspace / "x.py").read_text() == "x\n"
    assert (workspace.parent / "train.py").exists()
