"""Bring a workspace's files to what they are in an older tree. What no snapshot holds is left alone and named."""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from ml_intern.snapshots.scan import RealFolders, folder_of, stat_of
from ml_intern.snapshots.trees import HALF_WRITTEN, Change, Shadow, Tree

CopyBlob = Callable[[IO[bytes]], None]


@dataclass(frozen=True)
class Plan:
    """What has to be done to get from `now` to `target`, and what differs and stays, with the reasons."""

    now: Tree
    target: Tree
    remove: tuple[bytes, ...]
    write: tuple[Change, ...]
    kept: dict[bytes, str]


def plan_restore(shadow: Shadow, now: Tree, target: Tree) -> Plan:
    """Compare the workspace as it is `now` with the `target`. Raises NoSnapshot."""
    changes = shadow.diff(now.id, target.id)
    kept = {change.path: why for change in changes if (why := _why_kept(change, now, target))}
    return Plan(
        now,
        target,
        tuple(change.path for change in changes if change.status == "D" and change.path not in kept),
        tuple(change for change in changes if change.status != "D" and change.path not in kept),
        kept,
    )


def _why_kept(change: Change, now: Tree, target: Tree) -> str:
    if change.status == "D":
        # It is not in the target, which does not mean that it was not there.
        why = target.why_missing(change.path, ignored=True)
        return f"not kept then: {why}" if why else ""
    return now.why_missing(change.path, ignored=False)


@dataclass
class Restorer:
    """Carries out a plan, path by path; what the system refuses is kept and named."""

    shadow: Shadow
    plan: Plan
    kept: dict[bytes, str] = field(default_factory=dict[bytes, str])
    done: list[bytes] = field(default_factory=list[bytes])

    def __post_init__(self) -> None:
        self._root = self.shadow.root
        self._folders = RealFolders(self._root)

    def run(self) -> None:
        """Remove, then write. Raises NoSnapshot when the snapshot is damaged, OSError when the disk is full."""
        for path in self.plan.remove:
            self._try(path, partial(self._remove, path))
        self._remove_empty({folder_of(path) for path in self.done} | set(self.plan.now.empty))
        self._folders.forget()
        if self.plan.write:
            with self.shadow.git.blobs([change.blob for change in self.plan.write]) as blobs:
                for at, change in enumerate(self.plan.write):
                    self._try(change.path, partial(self._write, change, partial(blobs.copy, at)))
        for folder in self.plan.target.empty:
            self._try(folder, partial(self._make_folder, folder), counted=False)

    def _try(self, path: bytes, act: Callable[[], None], *, counted: bool = True) -> None:
        try:
            act()
        except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            self.kept[path] = error.strerror or type(error).__name__
        else:
            if counted:
                self.done.append(path)

    def _remove(self, path: bytes) -> None:
        if self._folders.reach(folder_of(path)) and stat_of(self._root + path) is not None:
            self._at(path).unlink()

    def _remove_empty(self, folders: Iterable[bytes]) -> None:
        """Remove folders with nothing left in them, and those above, but for those that held no file then either."""
        stay = {b"", *self.plan.target.empty, *self.plan.target.bare}
        for folder in sorted(folders, key=len, reverse=True):
            while folder not in stay and self._is_empty(folder):
                self._at(folder).rmdir()
                folder = folder_of(folder)  # noqa: PLW2901  up to the first that holds something

    def _is_empty(self, folder: bytes) -> bool:
        self._folders.forget()
        try:
            return self._folders.reach(folder) and not any(self._at(folder).iterdir())
        except PermissionError:
            return False

    def _at(self, path: bytes) -> Path:
        return Path(os.fsdecode(self._root + path))

    def _make_folder(self, folder: bytes) -> None:
        """Make a folder and those above it, none of them reached by a symlink. Raises NotADirectoryError."""
        if self._folders.reach(folder):
            return
        at = b""
        for name in folder.split(b"/"):
            at = at + b"/" + name if at else name
            if stat_of(self._root + at) is None:
                self._at(at).mkdir()
                self._folders.forget()
            elif not self._folders.reach(at):
                raise NotADirectoryError(0, f"{os.fsdecode(at)} is no folder and not in the snapshot")

    def _write(self, change: Change, copy: CopyBlob) -> None:
        if b"/" in change.path:
            self._make_folder(folder_of(change.path))
        if (found := stat_of(self._root + change.path)) and stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(0, "a folder with other files stands in its place")
        path = self._at(change.path)
        fresh = path.with_name(f"{HALF_WRITTEN}{secrets.token_hex(8)}")
        try:
            _fill(fresh, change, self.plan.target, copy)
            if found:
                _give(fresh, found)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise


def _fill(fresh: Path, change: Change, target: Tree, copy: CopyBlob) -> None:
    """Write the content of a change to a new file, or as a new symlink."""
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        copy(file)
        if not stat.S_ISLNK(change.mode):
            os.fchmod(descriptor, target.mode(change.path, executable=bool(change.mode & 0o100)))
            return
        file.seek(0)
        points_to = file.read()
    fresh.unlink()
    fresh.symlink_to(os.fsdecode(points_to))


def _give(path: Path, found: os.stat_result) -> None:
    """Leave a file with the owner it had."""
    with contextlib.suppress(PermissionError):  # only root may give a file away
        os.chown(path, found.st_uid, found.st_gid, follow_symlinks=False)
