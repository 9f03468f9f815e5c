"""Locked files in the basic sandbox. Landlock cannot take rights away below a folder: changes are undone at the end."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

MAX_BYTES = 256 * 1024 * 1024
"""Larger files are not copied, and not restored. That they changed is still reported."""
State = tuple[int, int, int, int]
"""Device, inode, size and time of change."""


@dataclass(frozen=True)
class LockedFile:
    """A locked file before a command, and the copy to restore it from."""

    path: Path
    state: State
    mode: int
    copy: Path


@lru_cache(maxsize=1)
def _folder() -> "tempfile.TemporaryDirectory[str]":
    """Return the folder of the copies. No command sees it, since each has a folder of its own for temporary files."""
    return tempfile.TemporaryDirectory(prefix="ml-intern-locked-")


@lru_cache(maxsize=256)
def _copy(path: Path, _state: State) -> Path:
    """Return a copy of a file as it is now. It is made once for each state."""
    descriptor, name = tempfile.mkstemp(dir=_folder().name)
    os.close(descriptor)
    shutil.copyfile(path, name)
    return Path(name)


def save_locked(paths: Iterable[str]) -> tuple[LockedFile, ...]:
    """Save the locked files that exist and are not too large."""
    found = []
    for path in map(Path, paths):
        try:
            state, mode = _state(path)
            if state[2] <= MAX_BYTES:
                found.append(LockedFile(path, state, mode, _copy(path, state)))
        except OSError:
            continue  # it cannot be read, so there is nothing to restore it from
    return tuple(found)


def restore_locked(files: Iterable[LockedFile], restored: list[str]) -> None:
    """Restore the files that changed, and append their paths to `restored`."""
    for one in files:
        try:
            if _state(one.path)[0] == one.state:
                continue
        except OSError:
            pass  # it was removed
        if _restore(one):
            restored.append(str(one.path))


def _state(path: Path) -> tuple[State, int]:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("not a regular file")
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns), stat.S_IMODE(found.st_mode)


def _restore(one: LockedFile) -> bool:
    """Put the copy in the place of the file; return whether that worked. No link in its place is followed."""
    folder = one.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.resolve() != folder:
            return False
        descriptor, name = tempfile.mkstemp(dir=folder)
        os.close(descriptor)
        shutil.copyfile(one.copy, name)
        Path(name).chmod(one.mode)
        if one.path.is_dir() and not one.path.is_symlink():
            one.path.rename(f"{one.path}.ml-intern-{os.getpid()}")
        Path(name).replace(one.path)
    except OSError:
        return False
    return True
