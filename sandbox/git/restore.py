"""Save git's control files before a command, and restore them after it. Folders are open: no link is followed."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class SavedFile:
    """A control file: its content, or the target of a link."""

    content: bytes
    mode: int
    is_link: bool = False


SavedFiles = Mapping[str, SavedFile]
"""The control files of a repository by name."""


def save_files(folder: int, names: Iterable[str]) -> SavedFiles:
    """Return the files that can be restored: links, and files of up to 1 MiB."""
    found = {name: _save(folder, name) for name in names}
    return {name: saved for name, saved in found.items() if saved is not None}


def restore_file(folder: int, name: str, saved: SavedFile, path: str) -> Iterator[str]:
    """Restore a file that was changed, replaced or removed; yield what was undone."""
    if _save(folder, name) == saved:
        return
    parent, _, base = name.rpartition("/")
    inside = _open_folder(folder, parent)
    try:
        if inside >= 0 and _clear(inside, base):
            _write(inside, base, saved)
            yield f"changes to {path}"
    finally:
        if inside not in {folder, -1}:
            os.close(inside)


def _save(folder: int, name: str) -> SavedFile | None:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            return SavedFile(os.fsencode(os.readlink(name, dir_fd=folder)), 0, is_link=True)
        if not stat.S_ISREG(mode):
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return None
    return SavedFile(content, stat.S_IMODE(mode)) if len(content) <= _MAX_BYTES else None


def _open_folder(folder: int, name: str) -> int:
    """Open the folder below `folder`; make it if it is missing or a link. -1 if that fails."""
    if not name:
        return folder
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)  # a link or a file; a folder stays
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return -1


def _clear(folder: int, name: str) -> bool:
    """Remove what has the name, or move a folder aside. Returns whether the name is free."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError:
        with suppress(OSError):
            os.rename(name, f"{name}.ml-intern-{os.getpid()}", src_dir_fd=folder, dst_dir_fd=folder)
    return not os.access(name, os.F_OK, dir_fd=folder, follow_symlinks=False)


def _write(folder: int, name: str, saved: SavedFile) -> None:
    if saved.is_link:
        os.symlink(saved.content, name, dir_fd=folder)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, saved.mode, dir_fd=folder), "wb") as file:
        file.write(saved.content)
        os.fchmod(file.fileno(), saved.mode)
