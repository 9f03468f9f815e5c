"""The outside sources of a local run, in a file of its folder: what is known at its launch, and the hosts it reached.

The supervisor of the run writes the file, since it may outlive ml-intern.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_NAME = "sources.json"


@dataclass(frozen=True)
class RunSources:
    """The outside sources of a run."""

    roots: tuple[str, ...] = ()
    """The folders that it may write to."""
    launched_with: tuple[str, ...] = ()
    """The sources of the text in the conversation at its launch."""
    read: tuple[str, ...] = ()
    """The sources of the files that it reads, and the hosts that it reached. Its output may contain their text."""
    written: Mapping[str, str] | None = None
    """Path -> digest of the files that it changed, once it has ended."""

    @property
    def all(self) -> tuple[str, ...]:
        """Return the sources of the files that it writes."""
        return tuple(dict.fromkeys((*self.launched_with, *self.read)))


def write_run_sources(folder: Path, found: RunSources) -> None:
    """Write the sources of a run to its folder. Raises OSError."""
    fresh = folder / f"{_NAME}.new"
    fresh.write_text(json.dumps(asdict(found)), encoding="utf-8")
    fresh.replace(folder / _NAME)


def read_run_sources(folder: Path) -> RunSources:
    """Return the sources of the run with this folder; none for a remote run."""
    try:
        found = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return RunSources()
    return RunSources(tuple(found["roots"]), tuple(found["launched_with"]), tuple(found["read"]), found["written"])


def may_have_written(found: RunSources, started: float, path: Path) -> bool:
    """Return whether a running run may have written a file, or files below a folder."""
    if os.path.isdir(path):  # noqa: PTH112  is_dir() may raise
        return any(path.is_relative_to(root) or Path(root).is_relative_to(path) for root in found.roots)
    try:
        return path.stat().st_ctime >= started and any(path.is_relative_to(root) for root in found.roots)
    except OSError:
        return False
