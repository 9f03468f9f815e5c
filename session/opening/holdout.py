"""The hold-out of a thread: test data that the agent cannot read. Check that the sandbox can hide it."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import SandboxMissing, UsageError
from ml_intern.graph.context import RunOptions

_OUTSIDE: Final = "move it to a folder outside, since commands can change everything in the working folders"


def with_holdout(options: RunOptions, text: str) -> RunOptions:
    """Return the options with this hold-out. Raises UsageError or SandboxMissing if the agent could read it."""
    return replace(options, holdout=str(_checked(Path(text).expanduser(), options))) if text else options


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
