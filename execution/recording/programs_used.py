"""The programs that a command started, as plain values for its evidence."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ml_intern.sandbox.command import WrappedCommand

HOOK_FOLDER: Final = os.path.realpath(Path(__file__).parent / "python_hook")


@dataclass
class ProgramsUsed:
    """Collects the programs of one call. `started` is None until a sandbox recorded them."""

    started: tuple[dict[str, Any], ...] | None = None
    hints: tuple[str, ...] = ()
    """The reports of Python processes about themselves, see python_hook/sitecustomize.py."""
    missed: str = ""
    """Why the list may be incomplete, or ""."""

    def take(self, wrapped: WrappedCommand | None, command: Sequence[str]) -> None:
        """Read what a command started, after it has ended."""
        if wrapped is not None and wrapped.programs is not None:
            self.started, self.missed = programs_used(wrapped, command)
            self.hints = tuple(wrapped.programs.hints)


def hook_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which Python imports the hook, before what the user has on the path."""
    given = environment.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join([HOOK_FOLDER, given]) if given else HOOK_FOLDER}


def programs_used(wrapped: WrappedCommand, command: Sequence[str]) -> tuple[tuple[dict[str, Any], ...], str]:
    """Return the programs that a command started, each once with its words and folder, and why some may be missing."""
    log = wrapped.programs
    if log is None:
        return (), ""
    found = dict.fromkeys((one.path, one.words, one.folder) for one in log.after(command))
    return tuple({"path": path, "words": list(words), "folder": folder} for path, words, folder in found), log.missed
