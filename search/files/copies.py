"""Copy folders for attempts and evaluations: small files are copied, large ones are linked."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import DiskFull

LARGE: Final = 10_000_000
"""Bytes from which a file is linked."""
_MANY: Final = 2_000
"""Files from which a folder is linked."""
_NEVER: Final = frozenset({
    ".git", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".DS_Store",
})  # fmt: skip
_ALWAYS_LINKED: Final = frozenset({".venv", "venv", "node_modules", ".pixi", ".conda"})


def is_left_out(name: str) -> bool:
    """Return whether a file or folder of this name is never copied: caches, and files with keys."""
    return name in _NEVER or name == ".env" or name.startswith(".env.")


def is_environment(name: str) -> bool:
    """Return whether a folder of this name has installed packages; it is always linked."""
    return name in _ALWAYS_LINKED


def place_data(source: Path, target: Path) -> None:
    """Copy a file or folder that git does not track, or link it if it is large. Raises DiskFull."""
    if is_left_out(source.name) or os.path.lexists(target) or not os.path.lexists(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink() if source.readlink().is_absolute() else source.resolve())
    elif is_environment(source.name) or _is_large(source):
        target.symlink_to(source.resolve())
    elif source.is_dir():
        _copy_tree(source, target)
    else:
        _copy(source, target)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a worktree for an evaluation, without git's files and caches. Large files are links. Raises DiskFull."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _copy_tree(source, target)


def fill_links(folder: Path, places: Sequence[str], without: str = "") -> None:
    """Replace the links of a copy that lead into `places` by what they lead to, but for environments and `without`.

    Files become hard links where the file system allows it: nothing may write to them. Raises DiskFull.
    """
    for path in [one for one in _walk(folder) if one.is_symlink()]:
        source = path.resolve()
        known = source.exists() and any(source.is_relative_to(place) for place in places)
        if known and not is_environment(path.name):
            path.unlink()
            _fill(source, path, without)


def _fill(source: Path, target: Path, without: str) -> None:
    if source.is_dir():
        _make(target)
        for one in source.iterdir():
            if not (is_left_out(one.name) or is_environment(one.name) or one.is_symlink() or str(one) == without):
                _fill(one, target / one.name, without)
        return
    try:
        target.hardlink_to(source)
    except OSError:  # on another file system, or of another user
        _copy(source, target)


def linked_places(folder: Path) -> tuple[str, ...]:
    """Return the targets of the links in a folder that are outside of it."""
    top = folder.resolve()
    found = {path.resolve() for path in _walk(folder) if path.is_symlink()}
    return tuple(sorted(str(path) for path in found if path.exists() and not path.is_relative_to(top)))


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        yield from (Path(here, name) for name in (*folders, *files))
        folders[:] = [name for name in folders if name not in _NEVER]


def _is_large(source: Path) -> bool:
    if source.is_file():
        return source.stat().st_size >= LARGE
    total = 0
    for count, path in enumerate(_walk(source), 1):
        total += path.lstat().st_size
        if total >= LARGE or count >= _MANY:
            return True
    return False


def _copy_tree(source: Path, target: Path) -> None:
    _make(target)
    for path in source.iterdir():
        fresh = target / path.name
        if is_left_out(path.name):
            continue
        if path.is_symlink():
            fresh.symlink_to(path.readlink())
        elif path.is_dir():
            _copy_tree(path, fresh)
        elif path.is_file() and path.stat().st_size >= LARGE:
            fresh.symlink_to(path.resolve())
        elif path.is_file():
            _copy(path, fresh)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from error


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copy2(source, target)
    except OSError as error:
        raise disk_error(error, target) from error


def disk_error(error: OSError, path: Path) -> Exception:
    """Return DiskFull for a full disk, else the error."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left to write {path}", "free some disk space and resume the search")
    return error
