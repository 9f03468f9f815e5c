"""The snapshots of all workspaces in a data home: what they take on the disk, and forgetting those nobody needs."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from graph.records import FOLDER, Record, Records
from graph.shadow_git import ShadowGit


@dataclass(frozen=True)
class KeptFiles:
    """The snapshots of one workspace. `bytes` is what they take on the disk."""

    workspace: str
    snapshots: int
    bytes: int


def kept_files(home: Path) -> list[KeptFiles]:
    """What is kept for undo, the largest first. Blocks. Raises OSError."""
    found = (
        KeptFiles(records.workspace(), len(records.names()), _size(records.folder)) for records in _all_records(home)
    )
    return sorted(found, key=lambda kept: -kept.bytes)


def forget_files(home: Path, unneeded: Callable[[Record], bool]) -> int:
    """Remove the snapshots that are `unneeded` and what only they hold; the bytes that came free.

    Blocks, and waits for sessions that take snapshots meanwhile. Raises OSError and NoSnapshot.
    """
    return sum(_forget(records, unneeded) for records in _all_records(home))


def _all_records(home: Path) -> Iterator[Records]:
    return (Records(folder) for folder in sorted((home / FOLDER).glob("*")) if (folder / "HEAD").is_file())


def _forget(records: Records, unneeded: Callable[[Record], bool]) -> int:
    # Only what is reachable counts here, so no work tree and no index are needed.
    git = ShadowGit(records.folder, records.folder, records.folder / "no-index")
    before = _size(records.folder)
    with git.held():
        read = ((name, records.read(name)) for name in records.names())
        records.remove([name for name, record in read if record is not None and unneeded(record)])
        for index in records.folder.glob("index-*"):
            index.unlink()
        git.run("repack", "-a", "-d", "-q")
        git.run("prune", "--expire=now")
    return max(0, before - _size(records.folder))


def _size(folder: Path) -> int:
    return sum(os.lstat(Path(parent, name)).st_blocks * 512 for parent, _, files in os.walk(folder) for name in files)
