"""Run git in a workspace without network and with everything read-only, because a repository can name programs.

`git status` runs the file system monitor, filters and textconv programs that a repository's settings name, also those
of nested repositories. So every git that ml-intern runs in a workspace is started here.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_intern.safety.shell.paths import is_within
from ml_intern.sandbox.bubblewrap import ISOLATION, can_forbid_namespaces, memory_file, sandbox_problem
from ml_intern.sandbox.git.tree import enclosing_repository
from ml_intern.sandbox.profile import hidden_folders, interpreter_folders
from ml_intern.sandbox.seccomp import seccomp_filter

_SETTINGS = (
    "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}",
)  # fmt: skip


@dataclass(frozen=True)
class GitCommand:
    """The command line of a git without rights, and the descriptors it must inherit."""

    argv: list[str]
    descriptors: tuple[int, ...] = ()

    @property
    def ends_with_parent(self) -> bool:
        """Return whether git is killed together with the process that started it."""
        return bool(self.descriptors)


@contextmanager
def open_git(
    arguments: Sequence[str], folder: Path, *, reads: Sequence[Path] = (), writes: Sequence[Path] = ()
) -> Iterator[GitCommand]:
    """Yield the command line of git with these arguments; start it inside the block.

    Args:
        arguments: the arguments of git.
        folder: the folder to run in, read-only like the repository that contains it.
        reads: further files and folders that git may read.
        writes: folders that git may write to.

    Without a sandbox on this machine, git runs with hooks and the file system monitor disabled only.
    """
    git = [shutil.which("git") or "git", *_SETTINGS, *arguments]
    if sandbox_problem() is not None:
        yield GitCommand(git)
        return
    seccomp = memory_file(seccomp_filter())
    try:
        visible = [str(path) for path in (*enclosing_repository(folder), *reads, folder)]
        yield GitCommand(_sandboxed(git, str(folder), visible, [*map(str, writes)], seccomp), (seccomp,))
    finally:
        os.close(seccomp)


def kill_git(process: "subprocess.Popen[bytes]") -> None:
    """Kill a git that was started in a session of its own.

    The whole group is killed: bubblewrap's second process does not end with the first one while the sandbox starts,
    and would keep the output open.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _sandboxed(git: list[str], folder: str, reads: list[str], writes: list[str], seccomp: int) -> list[str]:
    command = [shutil.which("bwrap") or "bwrap", *ISOLATION, "--unshare-net"]
    command += ["--disable-userns"] if can_forbid_namespaces() else []
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    hidden = hidden_folders(os.path.realpath(Path.home()))
    for path in hidden:
        command += ["--tmpfs", path]
    for path in dict.fromkeys([*_program_folders(git[0]), *reads]):
        command += ["--ro-bind-try", path, path] if any(is_within(path, other) for other in hidden) else []
    for path in writes:
        command += ["--bind", path, path]
    return [*command, "--seccomp", str(seccomp), "--chdir", folder, "--", *git]


@lru_cache(maxsize=4)
def _program_folders(program: str) -> tuple[str, ...]:
    """Return the folders that git itself needs, if it is installed in a hidden folder."""
    return tuple(interpreter_folders(program))
