"""Run git for a search: on the repository of the user, or on a private one for a folder without git.

The settings of a worktree are never read from the worktree: its `.git` could name another repository. Hooks do not
run.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import ConfigurationError, DiskFull, MLInternError
from ml_intern.safety.secrets.known import without_secrets

_SECONDS: Final = 600.0
_SETTINGS: Final = (
    "core.fsmonitor=false", f"core.hooksPath={os.devnull}", "gc.auto=0", "maintenance.auto=false",
    "commit.gpgsign=false", "advice.detachedHead=false", "core.quotePath=false",
)  # fmt: skip
_AUTHOR: Final = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "ml-intern"), ("EMAIL", "ml-intern@localhost"))
}


_DISK_FULL: Final = ("No space left", "Disk quota", "Out of diskspace")


class GitFailed(MLInternError):
    """A git command of a search failed."""


@dataclass(frozen=True)
class SearchGit:
    """Git with a repository and a folder as its work tree. The methods block: call them in a thread."""

    repository: Path
    """The folder of the repository, or of a worktree within it."""
    folder: Path
    index: Path | None = None
    """An index of its own, instead of the one of the repository."""
    as_user: bool = False
    """Commits have the name of the user, if git knows it."""

    def run(self, *arguments: str, given: str = "") -> str:
        """Run git and return its output. Raises GitFailed, or DiskFull."""
        done = self.result(*arguments, given=given)
        if done.returncode == 0:
            return done.stdout
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
        if any(words in done.stderr for words in _DISK_FULL):
            raise DiskFull(f"no space left for {self.folder}", "free some disk space and resume the search")
        raise GitFailed(f"git {arguments[0]} failed: {why or f'exit code {done.returncode}'}")

    def result(self, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        """Run git, whether it fails or not."""
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        place = [f"--git-dir={self.repository}", f"--work-tree={self.folder}"]
        try:
            return subprocess.run(
                ["git", *settings, *place, *arguments], cwd=self.folder, env=self._environment(), input=given,
                capture_output=True, text=True, errors="surrogateescape", timeout=_SECONDS, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise ConfigurationError("git is not on PATH", "install git") from error
        except subprocess.TimeoutExpired as error:
            raise GitFailed(f"git {arguments[0]} did not end within {_SECONDS:.0f} s") from error

    def _knows_user(self, environment: dict[str, str]) -> bool:
        command = ["git", f"--git-dir={self.repository}", "config", "user.email"]
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0

    def names(self, *arguments: str) -> list[str]:
        """Run git with -z and return the names that it prints."""
        command, *rest = arguments
        return [name for name in self.run(command, "-z", *rest).split("\0") if name]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in without_secrets(os.environ).items() if not name.startswith("GIT_")}
        own = {"GIT_INDEX_FILE": str(self.index)} if self.index else {}
        author = {} if self.as_user and self._knows_user(kept) else _AUTHOR
        return {**kept, **own, **author, "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true"}


def repository_of(folder: Path) -> tuple[Path, Path] | None:
    """Return the repository of a folder and the top of its work tree; None outside a repository."""
    done = _run(folder, "rev-parse", "--path-format=absolute", "--git-dir", "--show-toplevel")
    found = done.stdout.splitlines()
    return (Path(found[0]), Path(found[1])) if done.returncode == 0 and len(found) == 2 else None


def create_repository(place: Path) -> None:
    """Create an empty repository without a work tree. Raises GitFailed."""
    place.mkdir(parents=True, exist_ok=True)
    done = _run(place, "init", "-q", "--bare", str(place))
    if done.returncode:
        raise GitFailed(f"git init failed: {done.stderr.strip()}")


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in without_secrets(os.environ).items() if not name.startswith("GIT_")}
    command = ["git", *arguments]
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError:
        raise ConfigurationError("git is not on PATH", "install git") from None
