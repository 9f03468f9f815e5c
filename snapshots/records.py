"""The records of the snapshots of one workspace: a small file each, by name, and a ref that keeps its tree in git."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_intern.configs.paths import private_folder
from ml_intern.snapshots.trees import Tree

FOLDER = "snapshots"


@dataclass(frozen=True)
class Record:
    """A snapshot that was taken, or why it could not be."""

    thread: str
    taken: float
    """Seconds since the epoch."""
    tree: Tree | None
    why_not: str = ""


def shadow_folder(home: Path, workspace: Path) -> Path:
    """The folder of the shadow repository of a workspace."""
    return home / FOLDER / hashlib.sha256(os.fsencode(workspace)).hexdigest()[:32]


@dataclass(frozen=True)
class Records:
    """The records in the folder of one shadow repository. A name is what `name_of` makes."""

    folder: Path

    def name_of(self, part: str) -> str:
        """The name of a snapshot of this workspace."""
        return f"{self.folder.name}.{part}"

    def is_ours(self, name: str) -> bool:
        """Whether the name is one of this workspace."""
        return name.startswith(f"{self.folder.name}.")

    def read(self, name: str) -> Record | None:
        """The record of this name, or None. Raises OSError."""
        try:
            found = json.loads(self._path(name).read_text())
            about = self.folder / "trees" / f"{found['about']}.json"
            tree = _tree_from(json.loads(about.read_text())) if found["about"] else None
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError) as error:
            return Record("", 0, None, f"its record is damaged: {error}")
        return Record(found["thread"], found["taken"], tree, found["why_not"])

    def write(self, name: str, thread: str, tree: Tree | None, why_not: str = "") -> Record:
        """Keep a snapshot under this name. Raises OSError."""
        private_folder(self.folder)
        record = Record(thread, time.time(), tree, why_not)
        about = self._write_about(tree, name) if tree is not None else ""
        as_json = {"thread": thread, "taken": record.taken, "about": about, "why_not": why_not}
        _write(private_folder(self.folder / "records") / f"{name}.json", json.dumps(as_json))
        return record

    def _write_about(self, tree: Tree, name: str) -> str:
        """Keep what is known of a tree, once for all snapshots with the same; its file's name."""
        _write(private_folder(self.folder / "refs" / FOLDER) / name, f"{tree.id}\n")
        text = json.dumps(_tree_json(tree))
        about = hashlib.sha256(text.encode()).hexdigest()
        path = private_folder(self.folder / "trees") / f"{about}.json"
        if not path.exists():
            _write(path, text)
        return about

    def _path(self, name: str) -> Path:
        return self.folder / "records" / f"{name}.json"


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


def _tree_json(tree: Tree) -> dict[str, Any]:
    return {
        "id": tree.id,
        "left_out": {os.fsdecode(path): why for path, why in tree.left_out.items()},
        "modes": {os.fsdecode(path): mode for path, mode in tree.modes.items()},
        "usual_modes": tree.usual_modes,
        "empty": [os.fsdecode(path) for path in tree.empty],
        "bare": [os.fsdecode(path) for path in tree.bare],
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
