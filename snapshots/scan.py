"""Which of the paths that git lists go into a snapshot, and why the others are left out. Paths are bytes."""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """What is not worth a snapshot: larger files are left out, larger workspaces have none."""

    file_bytes: int = 50 * 1024 * 1024
    files: int = 50_000
    new_bytes: int = 2 * 1024 * 1024 * 1024
    """Bytes that one snapshot may add to those before."""
    free_bytes: int = 1024 * 1024 * 1024
    """Bytes that must stay free on the disk."""


def folder_of(path: bytes) -> bytes:
    """The folder a path is in; b"" is the root."""
    return path.rpartition(b"/")[0]


def stat_of(path: bytes) -> os.stat_result | None:
    """What stands at a path, without following a symlink; None when there is nothing. Raises other OSErrors."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


class RealFolders:
    """Tells which folders are folders all the way down: what lies behind a symlink belongs to somewhere else."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self._known: dict[bytes, bool] = {b"": True}

    def reach(self, folder: bytes) -> bool:
        """Whether `folder` is there and reached from the root without a symlink."""
        missing: list[bytes] = []
        while folder not in self._known:
            missing.append(folder)
            folder = folder_of(folder)
        real = self._known[folder]
        for one in reversed(missing):
            found = stat_of(self.root + one) if real else None
            real = self._known[one] = found is not None and stat.S_ISDIR(found.st_mode)
        return real

    def forget(self) -> None:
        """Look again: folders came or went."""
        self._known = {b"": True}


@dataclass
class Scan:
    """Looks at paths one by one and sorts them. The root ends with a slash."""

    root: bytes
    limits: Limits
    forced: Collection[bytes]
    """Paths that are kept whatever their size."""
    since: int
    """When the index was last written (ns since the epoch): what did not change since was looked at then."""
    kept: list[bytes] = field(default_factory=list[bytes])
    gone: list[bytes] = field(default_factory=list[bytes])
    left_out: dict[bytes, str] = field(default_factory=dict[bytes, str])
    modes: dict[bytes, int] = field(default_factory=dict[bytes, int])
    """Permission bits of the regular files."""
    new_bytes: int = 0

    def __post_init__(self) -> None:
        self._folders = RealFolders(self.root)

    def look(self, path: bytes) -> None:
        """Sort one path."""
        try:
            found = stat_of(self.root + path) if self._folders.reach(folder_of(path)) else None
        except OSError as error:
            self.left_out[path] = error.strerror or "it cannot be looked at"
            return
        if found is None or stat.S_ISDIR(found.st_mode):
            self.gone.append(path)
            return
        fresh = max(found.st_ctime_ns, found.st_mtime_ns) >= self.since
        if why := self._why_not(path, found, fresh=fresh):
            self.left_out[path] = why
        else:
            self._keep(path, found, fresh=fresh)

    def _keep(self, path: bytes, found: os.stat_result, *, fresh: bool) -> None:
        self.kept.append(path)
        if stat.S_ISREG(found.st_mode):
            self.modes[path] = found.st_mode & 0o777
            self.new_bytes += found.st_size if fresh else 0

    def _why_not(self, path: bytes, found: os.stat_result, *, fresh: bool) -> str:
        if b"/.git/" in b"/" + path.lower() + b"/":
            return "git keeps no such name"
        if stat.S_ISLNK(found.st_mode):
            return ""
        if not stat.S_ISREG(found.st_mode):
            return "no regular file"
        if found.st_size > self.limits.file_bytes and path not in self.forced:
            return f"{found.st_size / 1e6:.0f} MB"
        return "" if not fresh or os.access(self.root + path, os.R_OK) else "it may not be read"
