"""What the user's own git says about a workspace. It is only asked, and writes nothing."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_intern.safety.secrets.known import without_secrets

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
    ignore_file, where = _ask(
        workspace,
        ("config", "--type=path", "--get", "core.excludesFile"),
        ("rev-parse", "--show-toplevel", "--git-path", "info/exclude"),
    )
    ignore_file, found = ignore_file.strip(), where.splitlines()
    if len(found) != 2 or not workspace.is_relative_to(found[0]):
        return UsersIgnores(workspace, ignore_file=ignore_file)
    top, patterns = Path(found[0]), workspace / found[1]
    if top != workspace and any(_ask(top, ("check-ignore", "--no-index", "--", str(workspace)))):
        return UsersIgnores(workspace, ignore_file=ignore_file)
    text = patterns.read_text(errors="surrogateescape") if patterns.is_file() else ""
    return UsersIgnores(top, text, ignore_file)


def _ask(folder: Path, *questions: Sequence[str]) -> list[str]:
    """What git answers to each question; "" where it has no answer."""
    # A git that started us names its repository in such variables; only where the settings are is of use here.
    environment = {
        name: value
        for name, value in without_secrets(os.environ).items()
        if not name.startswith("GIT_") or name in _SETTINGS
    }
    asked = [
        subprocess.Popen(
            ["git", *question],
            cwd=folder,
            env={**environment, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for question in questions
    ]
    return [_answer(process) for process in asked]


def _answer(process: "subprocess.Popen[bytes]") -> str:
    with process:
        try:
            answer = os.fsdecode(process.communicate(timeout=SECONDS)[0])
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return answer if process.returncode == 0 else ""
