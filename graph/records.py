"""The records of the snapshots of one workspace: a small file each, by name, and a ref that keeps its tree in git."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.paths import private_folder
from graph.shadow import Tree

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
        except FileNotFoundError:
            return None
        tree = None if found["tree"] is None else _tree_from(found["tree"])
        return Record(found["thread"], found["taken"], tree, found["why_not"])

    def write(self, name: str, thread: str, tree: Tree | None, why_not: str = "") -> Record:
        """Keep a snapshot under this name. Raises OSError."""
        record = Record(thread, time.time(), tree, why_not)
        if tree is not None:
            _write(private_folder(self.folder / "refs" / FOLDER) / name, f"{tree.id}\n")
        as_json = {"thread": thread, "taken": record.taken, "tree": tree and _tree_json(tree), "why_not": why_not}
        private_folder(self.folder)
        _write(private_folder(self.folder / "records") / f"{name}.json", json.dumps(as_json))
        return record

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
    )
