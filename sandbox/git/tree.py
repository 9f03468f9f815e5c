"""Find the repositories below a folder: every `.git`, and folders that are repositories themselves (bare ones)."""

import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_intern.safety.shell.paths import is_within

_MAX_PATH = 4096
_MAX_GUARDED = 16
"""Nested repositories that are protected while a command runs. The cost of mounts grows with their square."""
_CLOCK_STEP_NS = 2_000_000_000
"""A folder that changed this recently may change again without a new change time."""


@dataclass(frozen=True)
class GitFolder:
    """A repository's .git in a writable folder."""

    path: str
    guarded: tuple[str, ...] = ()
    """Existing control files of git: hooks, config and the like."""
    is_file: bool = False
    """It is a file that names the repository, as in linked work trees and submodules."""


@dataclass(frozen=True)
class _Folder:
    """The contents of a folder at its change time."""

    inode: int
    changed: int
    """Change time in nanoseconds. Programs cannot set it."""
    settled: bool
    """It had not changed just before it was read."""
    folders: tuple[str, ...]
    repositories: tuple[str, ...]


class RepositoryTree:
    """The folders below a root. A folder is read again only if its change time differs."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._folders: dict[str, _Folder] = {}
        self._lock = threading.Lock()

    def find(self) -> list[str]:
        """Return the path of every `.git` and of every bare repository. Links to folders are not followed."""
        found: list[str] = []
        with self._lock:
            folders, pending = dict[str, _Folder](), [self._root]
            while pending:
                path = pending.pop()
                if folder := self._read(path):
                    folders[path] = folder
                    pending += folder.folders
                    found += folder.repositories
            self._folders = folders
        return found

    def _read(self, path: str) -> _Folder | None:
        """Return a folder's content; None if it cannot be read."""
        known = self._folders.get(path)
        try:
            now = os.stat(path, follow_symlinks=False)  # noqa: PTH116  called for every folder
            if known and known.settled and known.changed == now.st_ctime_ns and known.inode == now.st_ino:
                return known
            with os.scandir(path) as entries:
                folders, names = _content(entries)
        except OSError:
            return None
        settled = abs(time.time_ns() - now.st_ctime_ns) > _CLOCK_STEP_NS
        repositories = [path] if _is_bare(names) else []
        repositories += [f"{path}/.git"] if ".git" in names else []
        return _Folder(
            now.st_ino, now.st_ctime_ns, settled, tuple(f"{path}/{name}" for name in folders), tuple(repositories)
        )


def _content(entries: "Iterator[os.DirEntry[str]]") -> tuple[list[str], set[str]]:
    """Return the names of the subfolders to search, and all names."""
    folders, names = [], set[str]()
    for entry in entries:
        names.add(entry.name)
        if entry.name != ".git" and entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
    return folders, names


def _is_bare(names: set[str]) -> bool:
    return "HEAD" in names and ({"objects", "refs"} <= names or "commondir" in names)


@lru_cache(maxsize=32)
def repository_tree(root: str) -> RepositoryTree:
    """Return the tree of a root, shared by all callers in this process."""
    return RepositoryTree(root)


def find_git_folders(roots: Sequence[str], guarded: Sequence[str], removes: Sequence[str] = ()) -> Iterator[GitFolder]:
    """Yield the repositories to protect: those of the roots, and the first nested ones.

    Creates missing hooks folders, so that they can be protected.

    Args:
        roots: the writable folders.
        guarded: the names of git's control files.
        removes: folders that the command removes. A mount would prevent that, so repositories in them are left out.
    """
    tops = [f"{root}/.git" for root in roots]
    nested = [entry for entry in find_repositories(roots) if not any(is_within(entry, folder) for folder in removes)]
    entries = list(dict.fromkeys([*tops, *nested]))
    for entry in entries[: len(roots) + _MAX_GUARDED]:
        git = Path(entry)
        if git.name == ".git" and git.is_file() and not git.is_symlink():
            yield GitFolder(str(git), is_file=True)
        real = resolve_repository(git)
        if real is not None and any(real.is_relative_to(each) for each in roots):
            if not (real / "hooks").is_symlink():
                (real / "hooks").mkdir(exist_ok=True)
            yield GitFolder(str(real), tuple(part for part in guarded if (real / part).exists()))


def find_repositories(roots: Sequence[str]) -> list[str]:
    """Return the path of every `.git` and of every bare repository below the roots."""
    return sorted({entry for root in roots for entry in repository_tree(root).find()})


def resolve_repository(git: Path) -> Path | None:
    """Return the repository folder that `git` is, links to, or names."""
    try:
        if stat.S_ISREG(git.stat().st_mode):
            with git.open(errors="replace") as file:
                git = git.parent / file.read(_MAX_PATH).removeprefix("gitdir:").strip()
        return Path(os.path.realpath(git)) if git.is_dir() else None
    except (OSError, ValueError):  # a loop of links, or NUL in the name
        return None


def enclosing_repository(folder: Path) -> list[Path]:
    """Return the folders that git needs to read the repository containing `folder`; none outside a repository."""
    top = next((each for each in (folder, *folder.parents) if os.path.lexists(each / ".git")), None)
    real = resolve_repository(top / ".git") if top else None
    if top is None or real is None:
        return []
    common = common_folder(real)
    return [top, real, *([common] if common else [])]


def find_linked_repositories(roots: Sequence[str]) -> Iterator[str]:
    """Yield the repository, elsewhere, of each root that is a linked work tree, if the repository confirms it."""
    for root in roots:
        git = Path(root, ".git")
        real = resolve_repository(git) if git.is_file() and not git.is_symlink() else None
        common = common_folder(real) if real else None
        if real is None or common is None or any(common.is_relative_to(each) for each in roots):
            continue
        if real.is_relative_to(common / "worktrees") and _names(real / "gitdir", git):
            yield str(common)


def _names(file: Path, git: Path) -> bool:
    """Return whether a linked work tree's `gitdir` is this `.git`."""
    try:
        with file.open(errors="replace") as named:
            return os.path.realpath(named.read(_MAX_PATH).strip()) == os.path.realpath(git)
    except (OSError, ValueError):
        return False


def common_folder(real: Path) -> Path | None:
    """Return the folder that a linked work tree shares with its repository."""
    try:
        with (real / "commondir").open(errors="replace") as file:
            return Path(os.path.realpath(real / file.read(_MAX_PATH).strip()))
    except (OSError, ValueError):
        return None
