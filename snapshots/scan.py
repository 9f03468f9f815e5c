"""Selection of the paths for a snapshot among those that git lists. Paths are bytes."""

import os
import stat
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from ml_intern.safety.secrets.env_files import is_env_file
from ml_intern.safety.shell.paths import is_credential, is_project_secret

SENSITIVE = "may contain secrets"
"""The reason why a file that usually contains secrets is not part of any snapshot."""


@dataclass(frozen=True)
class Limits:
    """Size limits: larger files are excluded, larger workspaces get no snapshots."""

    file_bytes: int = 50 * 1024 * 1024
    files: int = 200_000
    new_bytes: int = 2 * 1024 * 1024 * 1024
    """Bytes that one snapshot may add to the repository."""
    free_bytes: int = 1024 * 1024 * 1024
    """Bytes that must stay free on the disk."""


_SETTLED_NS = 2_000_000_000
"""A file that changed this short before it was inspected may change again without another time."""


def is_secret(path: bytes) -> bool:
    """Return whether a file usually contains secrets, by its name."""
    name = os.fsdecode(path)
    return is_project_secret(name) or is_credential(name) or is_env_file(name)


def parent_of(path: bytes) -> bytes:
    """Return the folder that contains a path; b"" is the root."""
    return path.rpartition(b"/")[0]


def lstat_or_none(path: bytes) -> os.stat_result | None:
    """Return the status of a path without following symlinks, or None if it does not exist. Raises other OSErrors."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


class RealFolders:
    """The folders that are reachable without symlinks. Paths below a symlink belong to another place."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self._cache: dict[bytes, bool] = {b"": True}

    def contains(self, folder: bytes) -> bool:
        """Return whether `folder` exists and is reachable from the root without a symlink."""
        missing: list[bytes] = []
        while folder not in self._cache:
            missing.append(folder)
            folder = parent_of(folder)
        is_real = self._cache[folder]
        for one in reversed(missing):
            found = lstat_or_none(self.root + one) if is_real else None
            is_real = self._cache[one] = found is not None and stat.S_ISDIR(found.st_mode)
        return is_real

    def clear_cache(self) -> None:
        """Forget cached answers after folders were created or removed."""
        self._cache = {b"": True}


@dataclass
class Scan:
    """Classifies paths one by one. `root` ends with a slash."""

    root: bytes
    limits: Limits
    forced: Collection[bytes]
    """Paths that are included regardless of their size."""
    since: int
    """The time of the last index write (ns since the epoch). Files unchanged since then were checked at that time."""
    included: list[bytes] = field(default_factory=list[bytes])
    missing: list[bytes] = field(default_factory=list[bytes])
    excluded: dict[bytes, str] = field(default_factory=dict[bytes, str])
    modes: dict[bytes, int | None] = field(default_factory=dict[bytes, int | None])
    """The permission bits of the included files; None for a symlink."""
    recent: set[bytes] = field(default_factory=set[bytes])
    """The included files that changed so recently that a later change might have the same time."""
    new_bytes: int = 0

    def __post_init__(self) -> None:
        self._folders = RealFolders(self.root)

    def classify(self, path: bytes) -> None:
        """Add one path to `included`, `missing` or `excluded`."""
        try:
            found = lstat_or_none(self.root + path) if self._folders.contains(parent_of(path)) else None
        except OSError as error:
            self.excluded[path] = error.strerror or "cannot be inspected"
            return
        if found is None or stat.S_ISDIR(found.st_mode):
            self.missing.append(path)
            return
        is_changed = max(found.st_ctime_ns, found.st_mtime_ns) >= self.since
        if why := self._exclusion_reason(path, found, is_changed=is_changed):
            self.excluded[path] = why
        else:
            self._include(path, found, is_changed=is_changed)

    def _include(self, path: bytes, found: os.stat_result, *, is_changed: bool) -> None:
        self.included.append(path)
        self.modes[path] = found.st_mode & 0o777 if stat.S_ISREG(found.st_mode) else None
        if found.st_ctime_ns >= time.time_ns() - _SETTLED_NS:
            self.recent.add(path)
        self.new_bytes += found.st_size if is_changed and stat.S_ISREG(found.st_mode) else 0

    def _exclusion_reason(self, path: bytes, found: os.stat_result, *, is_changed: bool) -> str:
        if is_secret(path):
            return SENSITIVE
        if b"/.git/" in b"/" + path.lower() + b"/":
            return "git cannot store this name"
        if stat.S_ISLNK(found.st_mode):
            return ""
        if not stat.S_ISREG(found.st_mode):
            return "not a regular file"
        if found.st_size > self.limits.file_bytes and path not in self.forced:
            return f"{found.st_size / 1e6:.0f} MB"
        return "" if not is_changed or os.access(self.root + path, os.R_OK) else "not readable"
