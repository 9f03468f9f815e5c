"""Deletion of the snapshots of deleted threads and of the file contents that no other snapshot needs."""

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ml_intern.snapshots.git import ShadowGit, SnapshotError
from ml_intern.snapshots.records import FOLDER


@dataclass(frozen=True)
class DeletedSnapshots:
    """The number of deleted snapshots, the bytes freed, and the repositories that were skipped, with reasons."""

    snapshots: int
    freed: int
    skipped: tuple[str, ...] = ()


def count_snapshots(home: Path) -> dict[str, int]:
    """Return the number of snapshots of each thread. Blocks."""
    return dict(Counter(thread for folder in _folders(home) for _, thread in _records(folder)))


def delete_snapshots(home: Path, threads: Collection[str]) -> DeletedSnapshots:
    """Delete the snapshots of these threads. Blocks until running snapshots are finished."""
    count, freed, skipped = 0, 0, list[str]()
    for folder in _folders(home):
        if not any(thread in threads for _, thread in _records(folder)):
            continue
        before = folder_size(folder)
        try:
            count += _delete(folder, threads)
        except (SnapshotError, OSError) as error:
            skipped.append(f"the snapshots in {folder} could not be deleted: {error}")
        freed += max(0, before - folder_size(folder))
    return DeletedSnapshots(count, freed, tuple(skipped))


def folder_size(folder: Path) -> int:
    """Return the total size in bytes of the files below a folder; 0 if it does not exist."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _folders(home: Path) -> list[Path]:
    return sorted(path.parent for path in (home / FOLDER).glob("*/records"))


def _records(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the thread of each snapshot with a readable record."""
    for path in (folder / "records").glob("*.json"):
        with suppress(OSError, ValueError, KeyError):  # incomplete or from a newer version: not deleted
            yield path.stem, str(json.loads(path.read_text())["thread"])


def _delete(folder: Path, threads: Collection[str]) -> int:
    git = ShadowGit(folder, folder, folder / "index-of-nothing")
    with git.locked():
        names = [name for name, thread in _records(folder) if thread in threads]
        for name in names:
            (folder / "refs" / FOLDER / name).unlink(missing_ok=True)
            (folder / "records" / f"{name}.json").unlink(missing_ok=True)
        _delete_tree_metadata(folder)
        if any((folder / "records").iterdir()):
            # An index may refer to deleted objects; the next snapshot rebuilds it.
            for index in folder.glob("index-*"):
                index.unlink()
            git.run("prune", "--expire=now")
        else:
            _clear(folder)
    return len(names)


def _delete_tree_metadata(folder: Path) -> None:
    """Delete the metadata of trees that no record refers to. An unreadable record may refer to any of them."""
    try:
        referenced = {json.loads(path.read_text())["about"] for path in (folder / "records").glob("*.json")}
    except (ValueError, KeyError):
        return
    for path in (folder / "trees").glob("*.json"):
        if path.stem not in referenced:
            path.unlink()


def _clear(folder: Path) -> None:
    """Remove everything except the lock, which another session may be waiting for."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
