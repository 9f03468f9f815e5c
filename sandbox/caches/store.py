"""The location of sandboxed caches, and the limit on their size."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

MAX_BYTES = 50 << 30
"""Above this, the contents of the folders used longest ago are removed."""
PRUNE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Cache:
    """One cache of the user's, and where its contents from inside lie."""

    path: str
    inside: Path

    @property
    def mounted(self) -> str:
        """Return where the holder mounts it: not on the cache, since deleting that folder would unmount it."""
        return str(self.inside / "mounted")

    @property
    def private(self) -> str:
        """Return the folder bound instead of the cache where no overlay can be mounted."""
        path = self.inside / "private"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(path)

    def prepared(self) -> dict[str, str]:
        """Return the folders that a mount needs, created if missing."""
        own = {name: self.inside / name for name in ("upper", "work", "mounted")}
        for path in own.values():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return {"path": self.path, "private": self.private, **{name: str(path) for name, path in own.items()}}


@dataclass(frozen=True)
class CacheFolder:
    """The caches of one workspace, in a folder that no command sees."""

    path: Path
    caches: tuple[Cache, ...]


def cache_folder(store: str, workspace: str, caches: Sequence[str]) -> CacheFolder:
    """Return the folder for a workspace and its caches. Marks it as used."""
    folder = _prepared(store, workspace, tuple(caches))
    if not (folder.path / "workspace").is_file():  # new, or pruned
        _write_workspace(folder.path, workspace)
    os.utime(folder.path)
    return folder


def _write_workspace(folder: Path, workspace: str) -> None:
    """Write which workspace a folder belongs to, at once: pruning must not read half a path, which does not exist."""
    with tempfile.NamedTemporaryFile("w", dir=folder, errors="surrogateescape", delete=False) as file:
        file.write(workspace)
    Path(file.name).replace(folder / "workspace")


@lru_cache(maxsize=64)
def _prepared(store: str, workspace: str, caches: tuple[str, ...]) -> CacheFolder:
    # Other caches are other mounts, and one upper folder must not be mounted twice.
    path = Path(store, f"{_digest(workspace)}-{_digest(*caches)}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return CacheFolder(path, tuple(Cache(cache, path / _digest(cache)) for cache in caches))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()[:16]


def prune_caches(store: str, max_bytes: int = MAX_BYTES) -> list[str]:
    """Remove the contents of missing workspaces, and those used longest ago while there are too many bytes.

    Folders in use stay, and those of existing workspaces used within a day. Returns the removed folders.
    """
    folders = sorted(_folders(store), key=lambda folder: folder.stat().st_mtime, reverse=True)
    removed, total = [], 0
    for folder in folders:
        size = _size(folder)
        missing = not os.path.isdir((folder / "workspace").read_text(errors="surrogateescape"))  # noqa: PTH112
        is_old = time.time() - folder.stat().st_mtime > PRUNE_SECONDS
        if (missing or (is_old and total + size > max_bytes)) and _remove_unused(folder):
            removed.append(str(folder))
        else:
            total += size
    return removed


def prune_caches_daily(store: str) -> None:
    """Prune unless it happened within a day."""
    stamp = Path(store, "pruned")
    with suppress(OSError):
        if time.time() - stamp.stat().st_mtime < PRUNE_SECONDS:
            return
    with suppress(OSError):
        stamp.touch()
        prune_caches(store)


def _folders(store: str) -> Iterator[Path]:
    for path in Path(store).iterdir() if Path(store).is_dir() else ():
        if (path / "workspace").is_file():
            yield path


def _size(folder: Path) -> int:
    """Return the bytes on disk below a folder."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(f"{path}/{name}").st_blocks * 512
    return total


def _remove_unused(folder: Path) -> bool:
    """Remove a folder unless a holder has its mounts. Returns whether it was removed."""
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(OSError):
            os.close(os.open(folder / "users", os.O_WRONLY | os.O_NONBLOCK))
            return False  # it has a reader
        for entry in folder.iterdir():
            if entry.is_dir():
                _remove_tree(entry)
        (folder / "workspace").unlink(missing_ok=True)
    return True


def _remove_tree(folder: Path) -> None:
    """Remove a folder; a command may have made folders in it read-only, and overlayfs makes one."""
    for path, names, _ in os.walk(folder):
        for name in names:
            with suppress(OSError):
                os.chmod(f"{path}/{name}", 0o700, follow_symlinks=False)  # noqa: PTH101
    shutil.rmtree(folder, ignore_errors=True)
