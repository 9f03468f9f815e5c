"""Deletion of the snapshots of deleted threads, of secrets in old ones, and of contents that no snapshot needs."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ml_intern.snapshots.git import ShadowGit, SnapshotError
from ml_intern.snapshots.records import FOLDER, Records
from ml_intern.snapshots.scan import SENSITIVE, is_secret
from ml_intern.snapshots.trees import Tree


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


def find_secrets(home: Path) -> tuple[str, ...]:
    """Return the files with secrets in the snapshots of older versions, as paths in their folders. Blocks.

    Raises SnapshotError.
    """
    return tuple(sorted({found for folder in _folders(home) for found in _secrets(folder)}))


def _secrets(folder: Path) -> Iterator[str]:
    objects = _git(folder).run("rev-list", "--objects", "--all")
    paths = (line.partition(b" ")[2] for line in objects.splitlines())
    text = folder / "workspace"
    workspace = text.read_text(errors="surrogateescape") if text.is_file() else str(folder)
    yield from (os.path.join(workspace, os.fsdecode(path)) for path in paths if is_secret(path))  # noqa: PTH118


def delete_secrets(home: Path) -> DeletedSnapshots:
    """Delete the files with secrets from the snapshots of older versions. The other files can still be restored."""
    count, freed, skipped = 0, 0, list[str]()
    for folder in _folders(home):
        before = folder_size(folder)
        try:
            if any(_secrets(folder)):
                count += _delete_secrets(folder)
        except (SnapshotError, OSError) as error:
            skipped.append(f"secrets in the snapshots in {folder} could not be deleted: {error}")
        freed += max(0, before - folder_size(folder))
    return DeletedSnapshots(count, freed, tuple(skipped))


def _delete_secrets(folder: Path) -> int:
    """Return the number of changed snapshots."""
    git, records, count = _git(folder), Records(folder), 0
    with git.locked():
        for name, _ in list(_records(folder)):
            record = records.read(name)
            if record is None or record.tree is None:
                continue
            listed = git.run("ls-tree", "-r", "-z", "--name-only", record.tree.id).split(b"\0")[:-1]
            if found := [path for path in listed if is_secret(path)]:
                records.replace(name, replace(record, tree=_without(git, record.tree, found)))
                count += 1
        _delete_unused(git)
    return count


def _without(git: ShadowGit, tree: Tree, paths: Sequence[bytes]) -> Tree:
    git.run("read-tree", tree.id)
    git.run("update-index", "--force-remove", "-z", "--stdin", stdin=b"".join(path + b"\0" for path in paths))
    excluded = {**tree.excluded, **dict.fromkeys(paths, SENSITIVE)}
    return replace(tree, id=git.run("write-tree").decode().strip(), excluded=excluded)


def _git(folder: Path) -> ShadowGit:
    return ShadowGit(folder, folder, folder / "index-of-nothing")


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
    git = _git(folder)
    with git.locked():
        names = [name for name, thread in _records(folder) if thread in threads]
        for name in names:
            (folder / "refs" / FOLDER / name).unlink(missing_ok=True)
            (folder / "records" / f"{name}.json").unlink(missing_ok=True)
        _delete_unused(git)
    return len(names)


def _delete_unused(git: ShadowGit) -> None:
    """Delete the objects and metadata that no record refers to."""
    folder = git.folder
    _delete_tree_metadata(folder)
    if any((folder / "records").iterdir()):
        # An index may refer to deleted objects; the next snapshot rebuilds it.
        for index in folder.glob("index-*"):
            index.unlink()
        git.run("prune", "--expire=now")
    else:
        _clear(folder)


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
