"""Queries to the user's own git about a workspace. They write nothing."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_intern.safety.secrets.known import without_secrets

SECONDS = 20.0
_SETTINGS = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")


@dataclass(frozen=True)
class UserIgnores:
    """The top of the repository that contains a workspace, and the user's ignore patterns."""

    top: Path
    excludes: str = ""
    """Patterns of the repository's info/exclude."""
    ignore_file: str = ""


def find_user_ignores(workspace: Path) -> UserIgnores:
    """Ask the user's git. Outside a repository, or if it ignores the workspace, the workspace is the top."""
    ignore_file, where = _ask(
        workspace,
        ("config", "--type=path", "--get", "core.excludesFile"),
        ("rev-parse", "--show-toplevel", "--git-path", "info/exclude"),
    )
    ignore_file, found = ignore_file.strip(), where.splitlines()
    if len(found) != 2 or not workspace.is_relative_to(found[0]):
        return UserIgnores(workspace, ignore_file=ignore_file)
    top, patterns = Path(found[0]), workspace / found[1]
    if top != workspace and any(_ask(top, ("check-ignore", "--no-index", "--", str(workspace)))):
        return UserIgnores(workspace, ignore_file=ignore_file)
    text = patterns.read_text(errors="surrogateescape") if patterns.is_file() else ""
    return UserIgnores(top, text, ignore_file)


def _ask(folder: Path, *queries: Sequence[str]) -> list[str]:
    """Run git queries in parallel and return their outputs; "" for a failed query."""
    # If git started ml-intern, GIT_* variables point to its repository; only the locations of settings matter here.
    environment = {
        name: value
        for name, value in without_secrets(os.environ).items()
        if not name.startswith("GIT_") or name in _SETTINGS
    }
    processes = [
        subprocess.Popen(
            ["git", *query],
            cwd=folder,
            env={**environment, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for query in queries
    ]
    return [_output(process) for process in processes]


def _output(process: "subprocess.Popen[bytes]") -> str:
    with process:
        try:
            output = os.fsdecode(process.communicate(timeout=SECONDS)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return output if process.returncode == 0 else ""
