"""Restore a workspace's files from an older tree. Files that no snapshot contains are skipped and listed."""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from ml_intern.snapshots.points import Outside
from ml_intern.snapshots.scan import SENSITIVE, RealFolders, is_secret, lstat_or_none, parent_of
from ml_intern.snapshots.trees import TEMPORARY_PREFIX, Change, ShadowRepository, Tree

CopyBlob = Callable[[IO[bytes]], None]


@dataclass(frozen=True)
class RestorePlan:
    """The changes that turn the tree `now` into `target`, and the differing paths to skip, with reasons."""

    now: Tree
    target: Tree
    remove: tuple[bytes, ...]
    write: tuple[Change, ...]
    skipped: dict[bytes, str]
    kept: tuple[Change, ...] = ()
    """Changes that are not made, since the files were changed outside the turns."""
    kept_folders: Collection[bytes] = ()
    """Folders that are neither removed for being empty nor created."""


def plan_restore(shadow: ShadowRepository, now: Tree, target: Tree, outside: Outside) -> RestorePlan:
    """Compare the current tree `now` with `target`. Paths in `outside` stay as they are. Raises SnapshotError."""
    changes = shadow.diff(now.id, target.id)
    skipped = {change.path: why for change in changes if (why := _skip_reason(change, now, target))}
    possible = [change for change in changes if change.path not in skipped]
    kept = tuple(change for change in possible if change.path in outside.paths)
    made = [change for change in possible if change.path not in outside.paths]
    removed = tuple(change.path for change in made if change.status == "D")
    written = tuple(change for change in made if change.status != "D")
    return RestorePlan(now, target, removed, written, skipped, kept, outside.folders)


def _skip_reason(change: Change, now: Tree, target: Tree) -> str:
    if is_secret(change.path):
        return SENSITIVE  # a snapshot of an older version may contain it
    if change.status == "D":
        # The file may have existed at that time without being part of the target tree.
        why = target.exclusion_reason(change.path, ignored=True)
        return f"not in the snapshot: {why}" if why else ""
    return now.exclusion_reason(change.path, ignored=False)


@dataclass
class Restorer:
    """Carries out a plan path by path. Paths that the system refuses to change are skipped and listed."""

    shadow: ShadowRepository
    plan: RestorePlan
    skipped: dict[bytes, str] = field(default_factory=dict[bytes, str])
    done: list[bytes] = field(default_factory=list[bytes])

    def __post_init__(self) -> None:
        self._root = self.shadow.root
        self._folders = RealFolders(self._root)

    def run(self) -> None:
        """Remove files, then write files. Raises SnapshotError for a damaged snapshot, OSError for a full disk."""
        for path in self.plan.remove:
            self._try(path, partial(self._remove, path))
        empty = set(self.plan.now.empty).difference(self.plan.kept_folders)
        self._remove_empty_folders({parent_of(path) for path in self.done} | empty)
        self._folders.clear_cache()
        if self.plan.write:
            with self.shadow.git.open_blobs([change.blob for change in self.plan.write]) as blobs:
                for index, change in enumerate(self.plan.write):
                    self._try(change.path, partial(self._write, change, partial(blobs.copy, index)))
        for folder in sorted(set(self.plan.target.empty).difference(self.plan.kept_folders)):
            self._try(folder, partial(self._make_folder, folder), counted=False)

    def _try(self, path: bytes, action: Callable[[], None], *, counted: bool = True) -> None:
        try:
            action()
        except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            self.skipped[path] = error.strerror or type(error).__name__
        else:
            if counted:
                self.done.append(path)

    def _remove(self, path: bytes) -> None:
        if self._folders.contains(parent_of(path)) and lstat_or_none(self._root + path) is not None:
            self._at(path).unlink()

    def _remove_empty_folders(self, folders: Iterable[bytes]) -> None:
        """Remove empty folders and their empty parents, except those that had no files in the target either."""
        preserved = {b"", *self.plan.target.empty, *self.plan.target.without_files, *self.plan.kept_folders}
        for folder in sorted(folders, key=len, reverse=True):
            while folder not in preserved and self._is_empty(folder):
                self._at(folder).rmdir()
                folder = parent_of(folder)  # noqa: PLW2901  continues with the parent

    def _is_empty(self, folder: bytes) -> bool:
        self._folders.clear_cache()
        try:
            return self._folders.contains(folder) and not any(self._at(folder).iterdir())
        except PermissionError:
            return False

    def _at(self, path: bytes) -> Path:
        return Path(os.fsdecode(self._root + path))

    def _make_folder(self, folder: bytes) -> None:
        """Create a folder and its parents without following symlinks. Raises NotADirectoryError."""
        if self._folders.contains(folder):
            return
        at = b""
        for name in folder.split(b"/"):
            at = at + b"/" + name if at else name
            if lstat_or_none(self._root + at) is None:
                self._at(at).mkdir()
                self._folders.clear_cache()
            elif not self._folders.contains(at):
                raise NotADirectoryError(0, f"{os.fsdecode(at)} is not a folder and not in the snapshot")

    def _write(self, change: Change, copy: CopyBlob) -> None:
        if b"/" in change.path:
            self._make_folder(parent_of(change.path))
        if (found := lstat_or_none(self._root + change.path)) and stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(0, "a folder with other files is in its place")
        path = self._at(change.path)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
        try:
            _write_content(temporary, change, self.plan.target, copy)
            if found:
                _copy_owner(found, temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _write_content(path: Path, change: Change, target: Tree, copy: CopyBlob) -> None:
    """Write the content of a change to a new file, or create a new symlink."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        copy(file)
        if not stat.S_ISLNK(change.mode):
            os.fchmod(descriptor, target.mode(change.path, executable=bool(change.mode & 0o100)))
            return
        file.seek(0)
        link_target = file.read()
    path.unlink()
    path.symlink_to(os.fsdecode(link_target))


def _copy_owner(found: os.stat_result, path: Path) -> None:
    """Give the new file the owner of the replaced one."""
    with contextlib.suppress(PermissionError):  # only root may change the owner
        os.chown(path, found.st_uid, found.st_gid, follow_symlinks=False)
