"""Run git in a workspace without network and with everything read-only, because a repository can name programs.

`git status` runs the file system monitor, filters and textconv programs that a repository's settings name, also those
of nested repositories. So every git that ml-intern runs in a workspace is started here.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from ml_intern.safety.shell.paths import is_within
from ml_intern.sandbox.basic.landlock import Landlock, landlock
from ml_intern.sandbox.basic.launcher_process import restrict
from ml_intern.sandbox.basic.rules import reader_rules
from ml_intern.sandbox.bubblewrap import ISOLATION, can_forbid_namespaces, memory_file, sandbox_problem
from ml_intern.sandbox.git.tree import enclosing_repository
from ml_intern.sandbox.profile import hidden_folders, interpreter_folders
from ml_intern.sandbox.seccomp import seccomp_filter

T = TypeVar("T")

_NO_HOME = {"HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": os.devnull}
"""Git ends if it may not read settings that exist."""

_SETTINGS = (
    "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}",
)  # fmt: skip


@dataclass(frozen=True)
class GitCommand:
    """A git without rights."""

    argv: list[str]
    descriptors: tuple[int, ...] = ()
    """The descriptors that bubblewrap must inherit."""
    restrict: Callable[[], None] | None = None
    """Restricts the thread that starts git, where there is no bubblewrap."""

    @property
    def ends_with_parent(self) -> bool:
        """Return whether git is killed together with the process that started it."""
        return bool(self.descriptors)

    def start(self, *, keeps: tuple[int, ...] = (), **options: Any) -> "subprocess.Popen[bytes]":
        """Start git in a session of its own; `options` go to subprocess.Popen. Raises OSError.

        `keeps` are descriptors that git keeps open if it may outlive this process.
        """
        descriptors = self.descriptors if self.ends_with_parent else keeps
        options |= {"pass_fds": descriptors, "start_new_session": True}
        if self.restrict is None:
            return self._start(options)
        options["env"] = {**(options.get("env") or os.environ), **_NO_HOME}
        return _started_after(self.restrict, partial(self._start, options))

    def _start(self, options: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.argv, **options)

    def run(self, *, seconds: float, given: bytes = b"", **options: Any) -> bytes | None:
        """Run git and return its output; None if it fails. Raises OSError and subprocess.TimeoutExpired."""
        pipe = subprocess.PIPE
        with self.start(stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, **options) as process:
            try:
                output, _ = process.communicate(given, timeout=seconds)
            except BaseException:
                kill_git(process)
                raise
        return output if process.returncode == 0 else None


def _started_after(restrict: Callable[[], None], start: "Callable[[], T]") -> "T":
    """Start a process in a thread that gives up rights first, since the process inherits them from the thread."""
    with ThreadPoolExecutor(1, "git", restrict) as thread:
        return thread.submit(start).result()


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

    Without bubblewrap, Landlock and seccomp restrict git in the same way. Without these too, git runs with hooks and
    the file system monitor disabled only.
    """
    git = [shutil.which("git") or "git", *_SETTINGS, *arguments]
    kernel = landlock() if sandbox_problem() is not None else None
    if sandbox_problem() is not None and kernel is None:
        yield GitCommand(git)
        return
    visible = [str(path) for path in (*enclosing_repository(folder), *reads, folder)]
    seccomp = memory_file(_filter(kernel))
    try:
        if kernel is None:
            yield GitCommand(_sandboxed(git, str(folder), visible, [*map(str, writes)], seccomp), (seccomp,))
        else:
            yield GitCommand(git, restrict=partial(_restrict, git[0], visible, [*map(str, writes)], kernel, seccomp))
    finally:
        os.close(seccomp)


def _filter(kernel: Landlock | None) -> bytes:
    if kernel is None:
        return seccomp_filter()
    return seccomp_filter(namespaces=False, sockets=False, truncation=kernel.version >= 3)


def _restrict(program: str, reads: list[str], writes: list[str], kernel: Landlock, seccomp: int) -> None:
    """Restrict this thread to what git needs."""
    hidden = hidden_folders(os.path.realpath(Path.home()))
    visible = [path for path in (*_program_folders(program), *reads) if any(is_within(path, one) for one in hidden)]
    restrict({
        "rules": reader_rules(hidden, visible, writes, kernel),
        "handled": kernel.handled, "scoped": kernel.scoped, "size": kernel.attribute_bytes, "filter": seccomp,
    })  # fmt: skip


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
