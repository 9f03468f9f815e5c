"""Queries to git about a workspace and the user's ignored files. They write nothing."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_intern.safety.secrets.known import without_secrets
from ml_intern.sandbox.git.reader import kill_git, open_git

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
    """Ask git. Outside a repository, or if it ignores the workspace, the workspace is the top."""
    query = ("config", "--type=path", "--get", "core.excludesFile")
    local, where = _ask(workspace, (*query, "--local"), ("rev-parse", "--show-toplevel", "--git-path", "info/exclude"))
    ignore_file, found = (local or _users_setting(query)).strip(), where.splitlines()
    if len(found) != 2 or not workspace.is_relative_to(found[0]):
        return UserIgnores(workspace, ignore_file=ignore_file)
    top, patterns = Path(found[0]), workspace / found[1]
    ignored = ("-c", f"core.excludesFile={ignore_file}", "check-ignore", "--no-index", "--", str(workspace))
    if top != workspace and any(_ask(top, ignored, reads=[Path(ignore_file)] if ignore_file else [])):
        return UserIgnores(workspace, ignore_file=ignore_file)
    text = patterns.read_text(errors="surrogateescape") if patterns.is_file() else ""
    return UserIgnores(top, text, ignore_file)


def _users_setting(query: Sequence[str]) -> str:
    """Return a setting of the user's own git, outside every repository."""
    process = subprocess.Popen(["git", *query], start_new_session=True, **_options(Path("/")))
    return _output(process)


def _ask(folder: Path, *queries: Sequence[str], reads: Sequence[Path] = ()) -> list[str]:
    """Run git queries in parallel and return their outputs; "" for a failed query."""
    with ExitStack() as stack:
        commands = [stack.enter_context(open_git(query, folder, reads=reads)) for query in queries]
        processes = [command.start(**_options(folder)) for command in commands]
        return [_output(process) for process in processes]


def _options(folder: Path) -> dict[str, Any]:
    """Return the options to start git with."""
    # If git started ml-intern, GIT_* variables point to its repository; only the locations of settings matter here.
    environment = {
        name: value
        for name, value in without_secrets(os.environ).items()
        if not name.startswith("GIT_") or name in _SETTINGS
    }
    return {
        "cwd": folder,
        "env": {**environment, "GIT_TERMINAL_PROMPT": "0"},
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
    }


def _output(process: "subprocess.Popen[bytes]") -> str:
    with process:
        try:
            output = os.fsdecode(process.communicate(timeout=SECONDS)[0])
        except subprocess.TimeoutExpired:
            kill_git(process)
            raise
    return output if process.returncode == 0 else ""
