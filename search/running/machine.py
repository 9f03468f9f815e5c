"""Failures of the machine, which are not failures of an attempt: a full disk, and data that changed meanwhile."""

import os
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import DiskFull, TemporaryError
from ml_intern.search.files.copies import is_environment

MIN_FREE: Final = 10_000_000
"""Bytes below which a disk counts as full: a command of an attempt may have failed for that."""
_MAX_FILES: Final = 20_000


def check_disk(home: Path) -> None:
    """Raise DiskFull if the disk of a folder is nearly full."""
    if shutil.disk_usage(home).free < MIN_FREE:
        raise DiskFull(f"the disk of {home} is full", "free some disk space and resume the search")


def linked_data(places: Sequence[str]) -> Mapping[str, str]:
    """Return the sizes and times of the user's files that attempts only link to, as one digest for each place.

    Virtual environments are not data: what they contain may change.
    """
    return {place: _state(Path(place)) for place in places if not is_environment(Path(place).name)}


def check_linked(before: Mapping[str, str], places: Sequence[str]) -> None:
    """Raise TemporaryError if data that attempts link to is not as it was when the baseline was measured."""
    now = linked_data([place for place in places if place in before])
    changed = sorted(place for place, state in now.items() if state != before[place])
    if changed:
        problem = f"{changed[0]} was changed after the baseline was measured, and attempts use it in place"
        raise TemporaryError(problem, "restore it and resume the search, or start another one")


def _state(place: Path) -> str:
    files = [place] if place.is_file() else _files_below(place)
    lines = [f"{path} {status.st_size} {status.st_mtime_ns}" for path in files if (status := _status(path))]
    return sha256("\n".join(lines).encode()).hexdigest()


def _status(path: Path) -> "os.stat_result | None":
    try:
        return path.stat()
    except OSError:  # it was removed meanwhile
        return None


def _files_below(folder: Path) -> Sequence[Path]:
    found: list[Path] = []
    for here, folders, files in os.walk(folder):
        folders.sort()
        found += [Path(here, name) for name in sorted(files)]
        if len(found) >= _MAX_FILES:
            break
    return found[:_MAX_FILES]
