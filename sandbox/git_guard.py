"""Removal of hooks and settings that a sandboxed command left in repositories and that git would run outside.

The workspace's .git is protected while the command runs (sandbox/bubblewrap.py). Repositories that the command creates,
including those nested in the protected one, are checked afterwards.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_HARMLESS = re.compile(
    r"core\.(?:repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|"
    r"safecrlf|worktree)|remote\..+\.(?:url|fetch|tagopt|partialclonefilter|promisor)|branch\..+\.(?:remote|merge|rebase)|"
    r"user\.(?:name|email)|submodule\..+\.(?:url|active|branch)|submodule\.active|"
    r"extensions\.(?:objectformat|partialclone)|(?:init\.defaultbranch|pull\.rebase|push\.default)|"
    r"lfs\.repositoryformatversion|color\..+"
)
_GITLINK = b"160000 "
_MAX_FOLDERS = 500
_MAX_PATH = 4096
_SECONDS = 20


@dataclass(frozen=True)
class GitFolder:
    """A repository's .git in a writable folder."""

    path: str
    guarded: tuple[str, ...] = ()
    """Existing control files of git: hooks, config and the like."""


@dataclass(frozen=True)
class GitState:
    """The state of the repositories in the writable folders before a command runs."""

    roots: tuple[str, ...]
    git: tuple[GitFolder, ...]
    indexes: tuple[float, ...]
    """The change time of each repository's index."""
    entries: tuple[tuple[int, float], ...]
    """Inode and change time of each root's `.git`; zeros if there is none."""
    since: float
    """Later changes were made by the command; seconds of the file system's clock."""


def record_git_state(roots: Sequence[str], git: Sequence[GitFolder]) -> GitState:
    """Record the state of repositories. Call it before the command starts."""
    clock = os.memfd_create("clock")
    try:
        since = os.fstat(clock).st_ctime
    finally:
        os.close(clock)
    indexes = (_change_time(Path(one.path, "index")) for one in git)
    return GitState(tuple(roots), tuple(git), tuple(indexes), tuple(_entry(root) for root in roots), since)


def remove_active_git_config(before: GitState) -> list[str]:
    """Remove hooks and settings that git would run, and return one line for each. Call it after the command."""
    return list(_remove_all(before))


def _remove_all(before: GitState) -> Iterator[str]:
    for git, index in zip(before.git, before.indexes, strict=True):
        folder = Path(git.path)
        if "commondir" not in git.guarded:
            yield from _remove(folder / "commondir")
        if folder.is_dir():
            yield from _clean_submodules(folder, before)
            if _change_time(folder / "index") != index:
                yield from _clean_gitlinks(folder, before)
    guarded = {git.path for git in before.git}
    for root, entry in zip(before.roots, before.entries, strict=True):
        if f"{root}/.git" not in guarded and _entry(root) != entry:
            yield from _clean_new(Path(root, ".git"), before)


def _clean_new(git: Path, before: GitState) -> Iterator[str]:
    """Clean a repository that the command created."""
    if git.is_symlink() or git.is_file():
        yield from _remove(git)
    elif git.is_dir():
        yield from _clean(git, before)
        yield from _clean_submodules(git, before)
        yield from _clean_gitlinks(git, before)


def _clean_submodules(git: Path, before: GitState) -> Iterator[str]:
    """Clean the repositories of the submodules."""
    if (git / "modules").is_symlink():
        return
    for folder, names, files in os.walk(git / "modules"):
        if "HEAD" in files:
            yield from _clean(Path(folder), before)
            names.clear()


def _clean_gitlinks(git: Path, before: GitState) -> Iterator[str]:
    """Clean nested repositories listed in the index, which `git status` enters."""
    listed = _git(git, "--git-dir", str(git), "ls-files", "--stage", "-z")
    links = [entry.partition(b"\t")[2] for entry in listed.split(b"\0") if entry.startswith(_GITLINK)]
    for link in links[:_MAX_FOLDERS]:
        inner = git.parent / os.fsdecode(link) / ".git"
        if not Path(os.path.realpath(inner.parent)).is_relative_to(git.parent):
            continue
        if inner.is_symlink():
            yield from _remove(inner)
        elif inner.is_dir():
            yield from _clean(inner, before)
            yield from _clean_submodules(inner, before)
            yield from _clean_gitlinks(inner, before)


def _clean(git: Path, before: GitState) -> Iterator[str]:
    for name in ("commondir", "config.worktree"):
        if _is_new(git / name, before):
            yield from _remove(git / name)
    hooks = git / "hooks"
    if hooks.is_symlink():
        yield from _remove(hooks)
    elif hooks.is_dir():
        yield from _remove(*(hook for hook in hooks.iterdir() if hook.suffix != ".sample" and _is_new(hook, before)))
    config = git / "config"
    if config.is_symlink():
        yield from _remove(config)
    elif config.is_file() and _is_new(config, before):
        yield from _clean_settings(config)


def _clean_settings(config: Path) -> Iterator[str]:
    listed = _git(config.parent, "config", "--file", str(config), "--no-includes", "--name-only", "--list", "-z")
    for key in dict.fromkeys(filter(None, os.fsdecode(listed).split("\0"))):
        if not _HARMLESS.fullmatch(key):
            _git(config.parent, "config", "--file", str(config), "--unset-all", key)
            yield f"{key} in {config}"


def _remove(*paths: Path) -> Iterator[str]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            yield str(path)
        elif path.is_symlink() or path.exists():
            with suppress(OSError):
                path.unlink()
                yield str(path)


def _entry(root: str) -> tuple[int, float]:
    try:
        found = Path(root, ".git").lstat()
    except OSError:
        return (0, 0.0)
    return (found.st_ino, found.st_ctime)


def _is_new(path: Path, before: GitState) -> bool:
    return _change_time(path) >= before.since


def _change_time(path: Path) -> float:
    """Return the ctime of a file, which its owner cannot set; 0 if it does not exist."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return 0.0


def _git(folder: Path, *words: str) -> bytes:
    """Run git without the user's settings and return its output; b"" if it fails."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    command = ["git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", *words]
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


def find_git_folders(roots: Sequence[str], guarded: Sequence[str]) -> Iterator[GitFolder]:
    """Yield the repositories of these folders. Creates missing hooks folders, so that they can be protected."""
    for root in roots:
        git = Path(root, ".git")
        if git.is_file() and not git.is_symlink():
            yield GitFolder(str(git))
        real = _real_folder(git)
        if real is not None and any(real.is_relative_to(each) for each in roots):
            if not (real / "hooks").is_symlink():
                (real / "hooks").mkdir(exist_ok=True)
            yield GitFolder(str(real), tuple(part for part in guarded if (real / part).exists()))


def _real_folder(git: Path) -> Path | None:
    """Return the repository folder that `.git` is, links to, or names."""
    if git.is_file():
        with git.open(errors="replace") as file:
            named = file.read(_MAX_PATH).removeprefix("gitdir:").strip()
        git = git.parent / named
    return Path(os.path.realpath(git)) if git.is_dir() else None
