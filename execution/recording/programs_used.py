"""The programs that a command started, as plain values for its evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml_intern.sandbox.command import WrappedCommand


@dataclass
class ProgramsUsed:
    """Collects the programs of one call. `started` is None until a sandbox recorded them."""

    started: tuple[dict[str, Any], ...] | None = None
    missed: str = ""
    """Why the list may be incomplete, or ""."""

    def take(self, wrapped: WrappedCommand | None, command: Sequence[str]) -> None:
        """Read what a command started, after it has ended."""
        if wrapped is not None and wrapped.programs is not None:
            self.started, self.missed = programs_used(wrapped, command)


def programs_used(wrapped: WrappedCommand, command: Sequence[str]) -> tuple[tuple[dict[str, Any], ...], str]:
    """Return the programs that a command started, each once with its words and folder, and why some may be missing."""
    log = wrapped.programs
    if log is None:
        return (), ""
    found = dict.fromkeys((one.path, one.words, one.folder) for one in log.after(command))
    return tuple({"path": path, "words": list(words), "folder": folder} for path, words, folder in found), log.missed
