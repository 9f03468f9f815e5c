"""Trees of a workspace's files, stored byte for byte in a shadow git repository, and their differences."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ml_intern.snapshots.git import IGNORE_SOME, GitProcesses, ShadowGit, SnapshotError, too_many_files
from ml_intern.snapshots.scan import Limits, Scan, lstat_or_none
from ml_intern.snapshots.users_git import find_user_ignores

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MAX_FOLDERS_SEARCHED = 1000
"""Limit of the search for empty folders."""
TEMPORARY_PREFIX = ".ml-intern-undo-"
"""Prefix of the names of files that are being restored."""
_UNLIMITED = 1 << 62
# Folders that tools can regenerate. A pattern with "!" in the user's .gitignore includes them.
_REGENERABLE = (
    ".venv/", "venv/", "node_modules/", "__pycache__/", ".ipynb_checkpoints/",
    ".mypy_cache/", ".pytest_cache/", ".ruff_cache/", ".tox/",
)  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """The files of a workspace at one time. Paths are bytes, relative to the workspace."""

    id: str
    excluded: Mapping[bytes, str]
    """Paths that are not part of the tree, with reasons; folders end with a slash."""
    modes: Mapping[bytes, int]
    """Permission bits of the files that differ from `usual_modes`."""
    usual_modes: tuple[int, int] = (0o644, 0o755)
    """The most common permission bits of plain files and of executable files."""
    empty: Collection[bytes] = ()
    """Empty folders."""
    without_files: Collection[bytes] = ()
    """Topmost folders without any file of the tree."""
    ignored: Collection[bytes] = ()
    """Paths that the user's ignore files match; an ignored folder is one path."""

    def exclusion_reason(self, path: bytes, *, ignored: bool) -> str:
        """Return why `path` or one of its parents is not part of the tree; "" if it is, or did not exist.

        With `ignored`, being ignored is a reason too.
        """
        for part in (path, *(path[: at + 1] for at, character in enumerate(path) if character == ord("/"))):
            if part in self.excluded or (ignored and part in self.ignored):
                return self.excluded.get(part, "ignored")
        return ""

    def mode(self, path: bytes, *, executable: bool) -> int:
        """Return the permission bits of a file."""
        return self.modes.get(path, self.usual_modes[executable])


@dataclass(frozen=True)
class Change:
    """A difference between two trees at one path: the file in the second tree; `blob` is "" if it was deleted."""

    path: bytes
    status: str
    """A: only in the second, D: only in the first, M: other content or executable bit, T: another file type."""
    mode: int
    blob: str


@dataclass(frozen=True)
class _LastSnapshot:
    """The files of the last snapshot of this session. The next one looks only at changes."""

    index: tuple[int, int, int]
    modes: Mapping[bytes, int | None]
    """The permission bits of each file; None for a symlink."""
    recent: Collection[bytes]
    """Paths that changed so recently that a later change might have the same time."""
    forced: Collection[bytes]
    """Paths that were included although they may be too large."""


class ShadowRepository:
    """The shadow repository of one workspace. The methods block, need `git.locked`, and raise SnapshotError."""

    def __init__(self, folder: Path, workspace: Path, home: Path, limits: Limits, processes: GitProcesses) -> None:
        self.workspace = workspace
        self.limits = limits
        self.root = os.fsencode(workspace) + b"/"
        ignores = find_user_ignores(workspace)
        inside = workspace.relative_to(ignores.top)
        self._prefix = b"" if inside == Path() else os.fsencode(inside) + b"/"
        self._within = ("--", f":(literal){inside}") if self._prefix else ()
        name = f"index-{len(self._prefix)}"
        self.git = ShadowGit(folder, ignores.top, folder / name, ignores.ignore_file, processes)
        data_home = f"/{_escape_pattern(home.relative_to(ignores.top))}/" if home.is_relative_to(ignores.top) else ""
        self._last: _LastSnapshot | None = None
        self._excludes = "\n".join([*_REGENERABLE, ignores.excludes, data_home, f"{TEMPORARY_PREFIX}*", ""])

    def take_snapshot(self, forced: Collection[bytes] = (), *, limited: bool = True) -> Tree:
        """Store the current files. Paths in `forced` are included even if they are large or ignored."""
        if not self.workspace.is_dir():
            raise SnapshotError(f"the folder {self.workspace} no longer exists")
        self.git.create(str(self.workspace), self._excludes)
        try:
            return self._take(forced, limited=limited)
        except SnapshotError as error:
            if error.permanent or self.git.processes.closed:
                raise
            # Files changed while git read them, or the index is damaged: retry with a new index.
            self.git.index.unlink(missing_ok=True)
            return self._take(forced, limited=limited)

    def _take(self, forced: Collection[bytes], *, limited: bool) -> Tree:
        known = self._last if self._last is not None and self._last.index == self._index_status() else None
        scan, dropped = self._scan(forced, self.limits.files if limited else _UNLIMITED, known)
        if limited:
            self._check_space(scan)
        if dropped:
            self.git.run("update-index", "--force-remove", "-z", "--stdin", stdin=self._join(dropped))
        if scan.included:
            added = self._join(scan.included)
            self.git.run("update-index", "--add", "--remove", "--replace", "-z", "--stdin", stdin=added)
        modes = _updated(known.modes if known else {}, dropped, scan.modes)
        written, others, ignored = self.git.run_parallel(
            ("write-tree", *((f"--prefix={os.fsdecode(self._prefix)}",) if self._prefix and modes else ())),
            self._listing("-o", "--directory"),
            self._listing("-o", "-i", "--directory"),
        )
        self._last = _LastSnapshot(self._index_status(), modes, scan.recent, frozenset(forced))
        usual, unusual = _usual_modes(modes)
        without_files = [path[:-1] for path in self._split(others) if path[-1:] == b"/" and path not in scan.excluded]
        empty = list(self._empty_folders(without_files))
        id = written.decode().strip() if modes else EMPTY_TREE
        return Tree(id, scan.excluded, unusual, usual, empty, without_files, self._ignored(ignored))

    def _index_status(self) -> tuple[int, int, int]:
        """Return what changes when the index is written: another session may have done it."""
        found = lstat_or_none(os.fsencode(self.git.index))
        return (found.st_mtime_ns, found.st_size, found.st_ino) if found else (0, 0, 0)

    def _ignored(self, listed: bytes) -> frozenset[bytes]:
        """Return the ignored paths. Temporary files of a killed undo are removed instead."""
        return frozenset(self._without_leftovers(self._split(listed)))

    def _without_leftovers(self, ignored: Iterable[bytes]) -> Iterator[bytes]:
        for path in ignored:
            if path.rpartition(b"/")[2].startswith(os.fsencode(TEMPORARY_PREFIX)):
                Path(os.fsdecode(self.root + path)).unlink(missing_ok=True)
            else:
                yield path

    def _scan(self, forced: Collection[bytes], limit: int, known: "_LastSnapshot | None") -> tuple[Scan, list[bytes]]:
        """Scan the paths that changed since the last snapshot, or all without one.

        Also return the paths to remove from the index.
        """
        scan = Scan(self.root, self.limits, frozenset(forced), self._index_status()[0])
        tracked: Collection[bytes]
        if known is None:
            tracked, others = self._list_paths(limit)
            paths = [*tracked, *others]
            ignored = set(self._split(self.git.run(*self._listing("-c", "-i")))) if tracked else set[bytes]()
        else:
            with ThreadPoolExecutor(1) as threads:
                listed = threads.submit(self._list_paths, limit, "-o")
                changed, matched = self.git.run_parallel(
                    ("diff-files", "-z", "--name-only", *self._within), self._listing("-c", "-i")
                )
                tracked, ignored = known.modes, set(self._split(matched))
                paths = [*self._split(changed), *known.recent, *known.forced, *listed.result()[1]]
        ignored.difference_update(forced)
        for path in dict.fromkeys([*paths, *forced]):
            if path.endswith(b"/"):
                scan.excluded[path] = "a nested git repository"
            elif path not in ignored:
                scan.classify(path)
        dropped = [path for path in (*ignored, *scan.missing, *scan.excluded) if path in tracked]
        if len(scan.included if known is None else {*known.modes, *scan.included}.difference(dropped)) > limit:
            raise too_many_files(limit)
        return scan, dropped

    def _list_paths(self, limit: int, *options: str) -> tuple[dict[bytes, None], list[bytes]]:
        """Return the tracked paths and the untracked ones: files, and nested repositories with a trailing slash."""
        found = self.git.list_entries(*self._listing("-t", *(options or ("-c", "-o"))), limit=limit)
        skip = len(b"H ") + len(self._prefix)
        tracked = dict.fromkeys(entry[skip:] for entry in found if not entry.startswith(b"?"))
        return tracked, [entry[skip:] for entry in found if entry.startswith(b"?")]

    def _listing(self, *options: str) -> tuple[str, ...]:
        return ("ls-files", "-z", *options, "--exclude-standard", *self._within)

    def _split(self, listed: bytes) -> list[bytes]:
        return [path[len(self._prefix) :] for path in listed.split(b"\0")[:-1]]

    def _check_space(self, scan: Scan) -> None:
        if scan.new_bytes > self.limits.new_bytes:
            why = f"{scan.new_bytes / 1e9:.1f} GB of files would be copied"
            raise SnapshotError(why, IGNORE_SOME, permanent=True)
        disk = os.statvfs(self.git.folder)
        if disk.f_bavail * disk.f_frsize < scan.new_bytes + self.limits.free_bytes:
            raise SnapshotError(f"the disk of {self.git.folder} is nearly full", "free some space")

    def _empty_folders(self, tops: Collection[bytes]) -> Iterator[bytes]:
        """Yield the empty folders among `tops` and their subfolders."""
        searched = 0
        for top in tops:
            for folder, folders, files in os.walk(self.root + top):
                searched += 1
                if searched > MAX_FOLDERS_SEARCHED:
                    return
                if not folders and not files:
                    yield os.path.relpath(folder, self.root)

    def diff(self, before: str, after: str) -> list[Change]:
        """Return the differences between two trees in path order."""
        fields = self.git.run("diff-tree", "-r", "-z", "--no-renames", "--no-abbrev", before, after).split(b"\0")
        changes: list[Change] = []
        for about, path in zip(fields[:-1:2], fields[1::2], strict=True):
            _, mode, _, blob, status = about.decode().split()
            changes.append(Change(path, status, int(mode, 8), "" if status == "D" else blob))
        return changes

    def line_counts(self, before: str, after: str) -> dict[bytes, tuple[int, int] | None]:
        """Return the added and removed lines per path from the first tree to the second; None for binary files."""
        options = ("-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--numstat")
        counts: dict[bytes, tuple[int, int] | None] = {}
        for entry in self.git.run("diff-tree", *options, before, after).split(b"\0")[:-1]:
            added, removed, path = entry.split(b"\t", 2)
            counts[path] = None if added == b"-" else (int(added), int(removed))
        return counts

    def paths(self, tree: str) -> list[bytes]:
        """Return the files of a tree."""
        return [path for path, _, _ in self._entries(tree)]

    def _entries(self, tree: str) -> Iterator[tuple[bytes, int, str]]:
        for entry in self.git.run("ls-tree", "-r", "-z", tree).split(b"\0")[:-1]:
            about, path = entry.split(b"\t", 1)
            mode, _, blob = about.decode().split()
            yield path, int(mode, 8), blob

    def _join(self, paths: Iterable[bytes]) -> bytes:
        return b"".join(self._prefix + path + b"\0" for path in paths)


def _updated(
    modes: Mapping[bytes, int | None], dropped: Iterable[bytes], found: Mapping[bytes, int | None]
) -> Mapping[bytes, int | None]:
    """Return the files without the dropped ones and with those that were found now."""
    kept = dict(modes)
    for path in dropped:
        kept.pop(path, None)
    kept.update(found)
    return kept


def _usual_modes(modes: Mapping[bytes, int | None]) -> tuple[tuple[int, int], dict[bytes, int]]:
    """Return the most common permission bits of plain files and of executable files, and the files with others."""
    counted = Counter(modes.values())
    by_count = [mode for mode, _ in counted.most_common() if mode is not None]
    plain = next((mode for mode in by_count if not _is_executable(mode)), 0o644)
    usual = plain, next((mode for mode in by_count if _is_executable(mode)), 0o755)
    if set(by_count) <= set(usual):
        return usual, {}
    return usual, {path: mode for path, mode in modes.items() if mode is not None and mode not in usual}


def _is_executable(mode: int) -> bool:
    return bool(mode & 0o100)


def _escape_pattern(path: Path) -> str:
    return "".join(f"\\{character}" if character in "\\*?[" else character for character in str(path))
