"""Apply the changes of an attempt to the user's branch, or to a folder without git; and undo that."""

import json
from collections.abc import Sequence
from pathlib import Path

from ml_intern.configs.errors import UsageError
from ml_intern.configs.paths import replace_file
from ml_intern.search.files.git import GitFailed, SearchGit
from ml_intern.search.files.worktrees import SearchFiles
from ml_intern.search.tree import Attempt


def apply_commit(files: SearchFiles, start: str, attempt: Attempt) -> Sequence[str]:
    """Apply an attempt. Return what was done, in lines. Raises UsageError, and then nothing was changed."""
    if _applied(files).is_file():
        raise UsageError("an attempt of this search was applied already", f"undo it: {_undo_words(files)}")
    return _patch(files, start, attempt) if files.private else _commit(files, start, attempt)


def _commit(files: SearchFiles, start: str, attempt: Attempt) -> Sequence[str]:
    """Commit what an attempt changed since the baseline, which may have uncommitted and untracked files of the user."""
    git = SearchGit(files.repository, files.top, as_user=True)
    if git.run("status", "--porcelain", "--untracked-files=no").strip():
        raise UsageError("you have uncommitted changes", "commit or stash them, then apply again")
    before = git.run("rev-parse", "HEAD").strip()
    message = f"{attempt.idea}\n\nAttempt {attempt.number} of the search {files.search_id}, {attempt.branch}"
    change = git.run("commit-tree", f"{attempt.commit}^{{tree}}", "-p", start, "-m", message).strip()
    done = git.result("cherry-pick", "--keep-redundant-commits", change)
    if done.returncode:
        git.result("cherry-pick", "--abort")
        remedy = f"apply it by hand: git cherry-pick {change[:10]}"
        raise UsageError("your branch has changes that conflict with the attempt; nothing was changed", remedy)
    after = git.run("rev-parse", "HEAD").strip()
    if not git.run("diff", "--name-only", before, after).strip():
        git.run("reset", "--keep", before)
        return ["your branch already contains this attempt"]
    _remember(files, {"before": before, "after": after})
    return [f"committed the changes of attempt {attempt.number} as {after[:10]}", f"undo it with: {_undo_words(files)}"]


def _patch(files: SearchFiles, start: str, attempt: Attempt) -> Sequence[str]:
    """Change the files of a folder without git."""
    patch = files.diff(start, attempt.commit, "--binary", "--full-index")
    if not _git_apply(files, patch, "--check"):
        raise UsageError("your files have changes that conflict with the attempt; nothing was changed")
    _remember(files, {"patch": patch})
    if not _git_apply(files, patch):
        raise GitFailed("the changes could not be written")
    changed = files.changed(start, attempt.commit)
    return [f"changed {', '.join(changed)} in {files.folder}", f"undo it with: {_undo_words(files)}"]


def check_applied(files: SearchFiles) -> None:
    """Raise UsageError unless an attempt of the search was applied."""
    if not _applied(files).is_file():
        raise UsageError(f"no attempt of the search {files.search_id} was applied")


def undo_commit(files: SearchFiles) -> Sequence[str]:
    """Undo an apply. Return what was done, in lines. Raises UsageError, and then nothing was changed."""
    check_applied(files)
    place = _applied(files)
    applied = json.loads(place.read_text(encoding="utf-8"))
    line = _undo_patch(files, applied["patch"]) if "patch" in applied else _undo_commit(files, applied)
    place.unlink()
    return [line]


def _undo_commit(files: SearchFiles, applied: dict[str, str]) -> str:
    git = SearchGit(files.repository, files.top)
    if git.run("rev-parse", "HEAD").strip() != applied["after"]:
        remedy = f"revert it: git revert {applied['after'][:10]}"
        raise UsageError("there are commits after it, which would be lost", remedy)
    if git.result("reset", "--keep", applied["before"]).returncode:
        raise UsageError("you have uncommitted changes in files of the attempt", "commit or stash them first")
    return f"the branch is at {applied['before'][:10]} again"


def _undo_patch(files: SearchFiles, patch: str) -> str:
    if not _git_apply(files, patch, "-R", "--check"):
        raise UsageError("the files were changed since, so that the changes cannot be taken out")
    _git_apply(files, patch, "-R")
    return f"the files in {files.folder} are as they were before"


def _git_apply(files: SearchFiles, patch: str, *options: str) -> bool:
    return SearchGit(files.repository, files.top).result("apply", *options, "-", given=patch).returncode == 0


def _applied(files: SearchFiles) -> Path:
    return files.home / "applied.json"


def _remember(files: SearchFiles, applied: dict[str, str]) -> None:
    replace_file(_applied(files), json.dumps(applied))


def _undo_words(files: SearchFiles) -> str:
    return f"ml-intern improve undo {files.search_id}"
