"""The files of a folder that are delivered to another machine: as git sees them, without secrets."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ml_intern.execution.call import ToolError
from ml_intern.sandbox.git.reader import open_git
from ml_intern.snapshots.scan import is_secret
from ml_intern.text.digests import MAX_HASHED, content_digest, file_digest

MAX_FILES = 50_000
MAX_BYTES = 1 << 30
GIT_SECONDS = 60.0
_SKIPPED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", ".ml-intern"})
"""Folders that are not delivered from a folder without git."""


@dataclass(frozen=True)
class DeliveredFile:
    """A file with its path below the folder, SHA-256, size in bytes and mode."""

    path: str
    digest: str
    size: int
    mode: int


@dataclass(frozen=True)
class DeliveredFolder:
    """The delivered files of a folder, and the paths left out because they usually contain secrets."""

    root: Path
    files: list[DeliveredFile] = field(default_factory=list[DeliveredFile])
    links: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Symlinks to other places in the folder: path and target."""
    secrets: list[str] = field(default_factory=list[str])


def read_tree(root: Path, *, ignored: bool = False) -> DeliveredFolder:
    """Read and hash the files of a folder: tracked and untracked, and with `ignored` also ignored ones. It blocks.

    Raises:
        ToolError: there are too many files, or they are too large.
    """
    tree, total = DeliveredFolder(root), 0
    for path in _walked(root) if ignored else _listed(root):
        place = root / path
        try:
            about = place.lstat()
        except (FileNotFoundError, NotADirectoryError):  # deleted since it was listed, or in git only
            continue
        if is_secret(os.fsencode(path)):
            tree.secrets.append(path)
        elif stat.S_ISLNK(about.st_mode):
            _add_link(tree, path)
        elif stat.S_ISREG(about.st_mode):
            total += about.st_size
            if total > MAX_BYTES or len(tree.files) == MAX_FILES:
                raise ToolError(
                    f"{root} is too large to deliver (at most {MAX_FILES:,} files and {MAX_BYTES >> 30} GB); list data "
                    "and outputs in .gitignore, and pass data by a path on the machine or as a dataset id"
                )
            digest = content_digest(place) if about.st_size > MAX_HASHED else file_digest(place)
            tree.files.append(DeliveredFile(path, digest, about.st_size, stat.S_IMODE(about.st_mode)))
    return tree


def _add_link(tree: DeliveredFolder, path: str) -> None:
    target = (tree.root / path).readlink()
    if (tree.root / path).resolve().is_relative_to(tree.root.resolve()) and not target.is_absolute():
        tree.links.append((path, str(target)))


def _listed(root: Path) -> Iterator[str]:
    """Yield the paths that git lists below a folder, deleted files included, or those of all files without git."""
    query = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    with open_git(query, root) as git:
        said = git.run(seconds=GIT_SECONDS, cwd=root, start_new_session=True)
    if said is None:
        yield from _walked(root)
        return
    yield from map(os.fsdecode, filter(None, said.split(b"\0")))


def _walked(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        yield from (os.path.relpath(Path(folder) / name, root) for name in sorted(names))
