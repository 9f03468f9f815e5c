"""The hold-out of a thread: test data that the agent cannot read. Check that the sandbox can hide it."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import SandboxMissing, UsageError
from ml_intern.graph.context import RunOptions
from ml_intern.session.opening.hub_holdout import hub_split, split_patterns
from ml_intern.text.formatting import plural

_OUTSIDE: Final = "move it to a folder outside, since commands can change everything in the working folders"


def with_holdout(options: RunOptions, text: str) -> RunOptions:
    """Return the options with this hold-out. Raises UsageError or SandboxMissing if the agent could read it."""
    if not text:
        return options
    on_hub = hub_split(text)
    if on_hub is not None and options.sandbox == "on":
        raise UsageError(
            "--holdout: commands with the whole network could download the dataset",
            "use --set sandbox.network=list or off, or name a file that is only on this machine",
        )
    file = str(_checked(holdout_file(text), options))
    return replace(options, holdout=file, holdout_dataset=on_hub.repo if on_hub else "")


def saved_holdout(text: str) -> str:
    """Return how a hold-out is saved with its thread: the file, or the split at its commit on the Hub."""
    return text if hub_split(text) else str(holdout_file(text).resolve())


def holdout_file(text: str) -> Path:
    """Return the file that a hold-out names: FILE, FOLDER:SPLIT, or a fetched ORG/NAME:SPLIT. Raises UsageError."""
    if (on_hub := hub_split(text)) and (fetched := on_hub.file):
        return fetched
    folder, _, split = text.rpartition(":")
    place = Path(folder).expanduser()
    if not folder or not split or Path(text).expanduser().exists():
        return Path(text).expanduser()
    if not place.is_dir():
        raise UsageError(
            f"--holdout: {folder} is not a folder with a dataset",
            "name a folder and the split, or a dataset on the Hub as ORG/NAME:SPLIT",
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
    found = [path for pattern in split_patterns(split) for path in folder.glob(pattern)]
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
