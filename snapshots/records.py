"""The records of the snapshots of one workspace: a small file per snapshot, and a git ref that protects its tree."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ml_intern.configs.paths import private_folder
from ml_intern.snapshots.trees import Tree

FOLDER = "snapshots"
Kind = Literal["start", "end"]


@dataclass(frozen=True)
class Record:
    """A snapshot, or the reason why it could not be taken."""

    thread: str
    taken: float
    """Seconds since the epoch."""
    tree: Tree | None
    why_not: str = ""
    kind: Kind = "start"
    """start: a turn begins or continues here; end: it ends or waits here."""


def shadow_folder(home: Path, workspace: Path) -> Path:
    """Return the folder of a workspace's shadow repository."""
    return home / FOLDER / hashlib.sha256(os.fsencode(workspace)).hexdigest()[:32]


@dataclass(frozen=True)
class Records:
    """The records in the folder of one shadow repository. Names come from `name_of`."""

    folder: Path

    def name_of(self, part: str) -> str:
        """Return the name of a snapshot of this workspace."""
        return f"{self.folder.name}.{part}"

    def contains_name(self, name: str) -> bool:
        """Return whether the name belongs to this workspace."""
        return name.startswith(f"{self.folder.name}.")

    def read(self, name: str) -> Record | None:
        """Return the record with this name, or None. Raises OSError."""
        try:
            found = json.loads(self._path(name).read_text())
            about = self.folder / "trees" / f"{found['about']}.json"
            tree = _tree_from(json.loads(about.read_text())) if found["about"] else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError) as error:
            return Record("", 0, None, f"the snapshot's record is damaged: {error}")
        return Record(found["thread"], found["taken"], tree, found["why_not"], found.get("kind", "start"))

    def points(self, name: str) -> Iterator[Record]:
        """Yield the snapshot with this name and the later ones of its turn, in the order in which they were taken."""
        number = 0
        while record := self.read(_numbered(name, number)):
            yield record
            number += 1

    def add(self, name: str, record: Record) -> None:
        """Save a later snapshot of the turn that began with the snapshot `name`. Raises OSError."""
        number = sum(1 for _ in self.points(name))
        self.write(_numbered(name, number), record.thread, record.tree, record.why_not, record.kind)

    def write(self, name: str, thread: str, tree: Tree | None, why_not: str = "", kind: Kind = "start") -> Record:
        """Save a snapshot under this name. Raises OSError."""
        record = Record(thread, time.time(), tree, why_not, kind)
        self.replace(name, record)
        return record

    def replace(self, name: str, record: Record) -> None:
        """Save a record as it is under this name. Raises OSError."""
        private_folder(self.folder)
        about = self._write_tree(record.tree, name) if record.tree is not None else ""
        fields = {"thread": record.thread, "taken": record.taken, "why_not": record.why_not, "kind": record.kind}
        _write(private_folder(self.folder / "records") / f"{name}.json", json.dumps({**fields, "about": about}))

    def _write_tree(self, tree: Tree, name: str) -> str:
        """Save a tree's metadata, shared by all snapshots with the same metadata, and return its file's stem."""
        _write(private_folder(self.folder / "refs" / FOLDER) / name, f"{tree.id}\n")
        text = json.dumps(_tree_json(tree))
        about = hashlib.sha256(text.encode()).hexdigest()
        path = private_folder(self.folder / "trees") / f"{about}.json"
        if not path.exists():
            _write(path, text)
        return about

    def _path(self, name: str) -> Path:
        return self.folder / "records" / f"{name}.json"


def _numbered(name: str, number: int) -> str:
    return f"{name}.{number}" if number else name


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)


def _tree_json(tree: Tree) -> dict[str, Any]:
    return {
        "id": tree.id,
        "left_out": {os.fsdecode(path): why for path, why in tree.excluded.items()},
        "modes": {os.fsdecode(path): mode for path, mode in tree.modes.items()},
        "usual_modes": tree.usual_modes,
        "empty": [os.fsdecode(path) for path in tree.empty],
        "bare": [os.fsdecode(path) for path in tree.without_files],
        "ignored": sorted(os.fsdecode(path) for path in tree.ignored),
    }


def _tree_from(found: Mapping[str, Any]) -> Tree:
    plain, executable = found["usual_modes"]
    return Tree(
        found["id"],
        {os.fsencode(path): why for path, why in found["left_out"].items()},
        {os.fsencode(path): mode for path, mode in found["modes"].items()},
        (plain, executable),
        [os.fsencode(path) for path in found["empty"]],
        [os.fsencode(path) for path in found["bare"]],
        frozenset(os.fsencode(path) for path in found["ignored"]),
    )
