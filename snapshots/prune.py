"""Letting go of snapshots: those of threads that are no more. What no snapshot holds any more leaves the disk."""

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ml_intern.snapshots.git import NoSnapshot, ShadowGit
from ml_intern.snapshots.records import FOLDER


@dataclass(frozen=True)
class Forgotten:
    """How many snapshots went, the bytes that gave back, and why some repository was left alone."""

    snapshots: int
    freed: int
    left_alone: tuple[str, ...] = ()


def recorded_threads(home: Path) -> dict[str, int]:
    """The threads that snapshots were taken for, and how many. A thread is listed before its first one. Blocks."""
    return dict(Counter(thread for folder in _folders(home) for _, thread in _records(folder)))


def forget_snapshots(home: Path, threads: Collection[str]) -> Forgotten:
    """Remove the snapshots of these threads. Blocks while it waits for sessions that take one."""
    count, freed, left_alone = 0, 0, list[str]()
    for folder in _folders(home):
        if not any(thread in threads for _, thread in _records(folder)):
            continue
        before = size_of(folder)
        try:
            count += _forget(folder, threads)
        except (NoSnapshot, OSError) as fault:
            left_alone.append(f"the snapshots in {folder} were left alone: {fault}")
        freed += max(0, before - size_of(folder))
    return Forgotten(count, freed, tuple(left_alone))


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder; 0 when there is none."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _folders(home: Path) -> list[Path]:
    return sorted(path.parent for path in (home / FOLDER).glob("*/records"))


def _records(folder: Path) -> Iterator[tuple[str, str]]:
    """The name and the thread of each snapshot whose record can be read."""
    for path in (folder / "records").glob("*.json"):
        with suppress(OSError, ValueError, KeyError):  # half written, or of a version to come: it stays
            yield path.stem, str(json.loads(path.read_text())["thread"])


def _forget(folder: Path, threads: Collection[str]) -> int:
    git = ShadowGit(folder, folder, folder / "index-of-nothing")
    with git.held():
        names = [name for name, thread in _records(folder) if thread in threads]
        for name in names:
            (folder / "refs" / FOLDER / name).unlink(missing_ok=True)
            (folder / "records" / f"{name}.json").unlink(missing_ok=True)
        _forget_trees(folder)
        if any((folder / "records").iterdir()):
            # An index may name what goes now; the next snapshot makes it anew.
            for index in folder.glob("index-*"):
                index.unlink()
            git.run("prune", "--expire=now")
        else:
            _empty(folder)
    return len(names)


def _forget_trees(folder: Path) -> None:
    """Remove what was written about trees that no record names. A record that cannot be read may name any of them."""
    try:
        named = {json.loads(path.read_text())["about"] for path in (folder / "records").glob("*.json")}
    except (ValueError, KeyError):
        return
    for path in (folder / "trees").glob("*.json"):
        if path.stem not in named:
            path.unlink()


def _empty(folder: Path) -> None:
    """Remove all but the lock, which another session may be waiting for."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
