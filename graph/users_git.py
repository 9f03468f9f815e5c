"""What the user's own git says about a workspace. It is only asked, and writes nothing."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0
_SETTINGS = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")


@dataclass(frozen=True)
class UsersIgnores:
    """What the user's own git says about a workspace: the top of its repository, and what is ignored in it."""

    top: Path
    excludes: str = ""
    """Patterns of the repository's info/exclude."""
    ignore_file: str = ""


def users_ignores(workspace: Path) -> UsersIgnores:
    """Ask the user's git, which only reads. In no repository, or where it ignores the workspace, that is the top."""
    ignore_file = _ask(workspace, "config", "--type=path", "--get", "core.excludesFile").strip()
    found = _ask(workspace, "rev-parse", "--show-toplevel", "--git-path", "info/exclude").splitlines()
    if len(found) != 2 or not workspace.is_relative_to(found[0]):
        return UsersIgnores(workspace, ignore_file=ignore_file)
    top, patterns = Path(found[0]), workspace / found[1]
    if top != workspace and _ask(top, "check-ignore", "--no-index", "--", str(workspace)):
        return UsersIgnores(workspace, ignore_file=ignore_file)
    text = patterns.read_text(errors="surrogateescape") if patterns.is_file() else ""
    return UsersIgnores(top, text, ignore_file)


def _ask(folder: Path, *arguments: str) -> str:
    # A git that started us names its repository in such variables; only where the settings are is of use here.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in _SETTINGS
    }
    found = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**environment, "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
        start_new_session=True,
    )
    return os.fsdecode(found.stdout) if found.returncode == 0 else ""
