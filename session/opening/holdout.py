"""The hold-out of a thread: test data that the agent cannot read. Check that the sandbox can hide it."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import SandboxMissing, UsageError
from ml_intern.graph.context import RunOptions
from ml_intern.text.formatting import plural

_OUTSIDE: Final = "move it to a folder outside, since commands can change everything in the working folders"


_TABLES: Final = (".csv", ".tsv", ".parquet", ".jsonl", ".json", ".txt", ".arrow")
_PLACES: Final = ("{split}", "{split}-*", "{split}/*", "data/{split}", "data/{split}-*", "data/{split}/*")
"""Where the folder of a dataset keeps the file of a split, without the suffix."""


def with_holdout(options: RunOptions, text: str) -> RunOptions:
    """Return the options with this hold-out. Raises UsageError or SandboxMissing if the agent could read it."""
    return replace(options, holdout=str(_checked(holdout_file(text), options))) if text else options


def holdout_file(text: str) -> Path:
    """Return the file that a hold-out names: FILE, or FOLDER:SPLIT for a split of a dataset. Raises UsageError."""
    folder, _, split = text.rpartition(":")
    place = Path(folder).expanduser()
    if not folder or not split or Path(text).expanduser().exists():
        return Path(text).expanduser()
    if not place.is_dir():
        raise UsageError(
            f"--holdout: {folder} is not a folder with a dataset",
            f"download the dataset, and name its folder and the split: --holdout FOLDER:{split}",
        )
    found = _files_of(place, split)
    if len(found) != 1:
        what = plural(len(found), "file") if found else "no file"
        raise UsageError(
            f"--holdout: {folder} has {what} of the split {split}",
            f"a split must be one file, such as {split}.csv or data/{split}-00000-of-00001.parquet",
        )
    return found[0]


def _files_of(folder: Path, split: str) -> list[Path]:
    """Return the tables of a split in the folder of a dataset."""
    if "/" in split or any(one in split for one in "*?["):
        return []
    found = [path for place in _PLACES for end in _TABLES for path in folder.glob(place.format(split=split) + end)]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def _checked(path: Path, options: RunOptions) -> Path:
    if not path.is_file():
        raise UsageError(f"--holdout: {path} is not a file", "name the file, or remove the hold-out with --holdout ''")
    path = path.resolve()
    if any(path.is_relative_to(Path(folder).resolve()) for folder in (options.workspace, *options.add_dirs)):
        raise UsageError(f"--holdout: {path} is in a working folder", _OUTSIDE)
    if path.stat().st_nlink > 1:
        raise UsageError(f"--holdout: {path} has another name (a hard link)", "give a copy of the file")
    if options.verify == "off":
        raise UsageError("a hold-out is scored with the evidence of the thread", "use --verify quick or above")
    if options.tool_runtime != "local":
        raise UsageError("--holdout works with commands on this machine only", "use --tool-runtime local")
    if options.sandbox == "none" or options.sandbox_kind != "bubblewrap":
        raise SandboxMissing(
            "--holdout needs the sandbox, which hides the file", "install bubblewrap, and use --sandbox"
        )
    return path
