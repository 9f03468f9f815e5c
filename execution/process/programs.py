"""Where this process looks for programs: never in a folder that commands write to, or that depends on where we are."""

import os
from collections.abc import Iterable
from pathlib import Path

_callers: dict[str, str] = {}
"""A narrowed PATH -> the one the caller gave."""


def keep_out_of_path(folders: Iterable[str]) -> None:
    """From now on this process starts no program that lies in these folders. Commands behind the wall still find them.

    A command could put a `git` of its own beside the python of the project's environment.
    """
    given = os.environ.get("PATH", os.defpath)
    roots = [Path(os.path.realpath(folder)) for folder in folders]
    kept = [
        entry
        for entry in given.split(os.pathsep)
        if Path(entry).is_absolute() and not any(Path(os.path.realpath(entry)).is_relative_to(root) for root in roots)
    ]
    narrowed = os.pathsep.join(kept)
    if narrowed != given:
        _callers[narrowed] = callers_path(given)
        os.environ["PATH"] = narrowed


def callers_path(path: str) -> str:
    """The PATH that the caller gave, where `path` is what was left of it."""
    return _callers.get(path, path)
