"""Copies of a thread's files between two data folders: artifacts, the folders of its runs, and its snapshots."""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ml_intern.store.store import RUNS

ARTIFACTS = "artifacts"


def folders_of(ids: Iterable[str], runs: Iterable[str]) -> Sequence[str]:
    """Return the folders of threads and runs, relative to the data folder. Ids that are not file names have none."""
    named = [(ARTIFACTS, id) for id in ids] + [(RUNS, run) for run in runs]
    return [f"{folder}/{name}" for folder, name in named if name and Path(name).name == name != ".."]


def copy_folders(source: Path, target: Path, folders: Iterable[str]) -> int:
    """Copy folders with everything in them, and return the number of files. Files that are there already stay."""
    return sum(_copy(source / folder, target / folder) for folder in folders if (source / folder).is_dir())


def missing_file(source: Path, target: Path, folders: Iterable[str]) -> Path | None:
    """Return a file that the copy does not have, or has with another size."""
    for folder in folders:
        for path in _files(source / folder):
            copy = target / path.relative_to(source)
            if not os.path.lexists(copy) or (not path.is_symlink() and copy.stat().st_size != path.stat().st_size):
                return path
    return None


def remove_folders(home: Path, folders: Iterable[str]) -> None:
    """Delete folders, as far as they can be deleted."""
    for folder in folders:
        shutil.rmtree(home / folder, ignore_errors=True)


def moved_paths(row: dict[str, Any], source: Path, target: Path) -> dict[str, Any]:
    """Return a row whose paths in the source's data folder are those in the target's."""
    before, after = f"{source}/", f"{target}/"
    return {
        name: value.replace(before, after) if isinstance(value, str) and before in value else value
        for name, value in row.items()
    }


def _copy(source: Path, target: Path) -> int:
    count = 0
    for path in _files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.path.lexists(copy) and not copy.is_symlink() and copy.stat().st_size == path.stat().st_size:
            continue
        partial = copy.with_name(f".{copy.name}.partial")
        shutil.copy2(path, partial, follow_symlinks=False)
        partial.replace(copy)
        count += 1
    return count


def _files(folder: Path) -> Iterable[Path]:
    """Yield the files and symbolic links below a folder."""
    for place, folders, names in os.walk(folder):
        for name in (*names, *(one for one in folders if (Path(place) / one).is_symlink())):
            path = Path(place) / name
            if path.is_symlink() or path.is_file():
                yield path
