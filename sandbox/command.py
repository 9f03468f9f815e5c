"""A sandboxed command together with the helpers that run outside the sandbox during its lifetime."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from ml_intern.sandbox.egress import EgressProxy
from ml_intern.sandbox.git.guard import GitState, remove_active_git_config
from ml_intern.sandbox.programs.log import ProgramLog


def do_nothing() -> None:
    """Ignore the end of a command."""


@dataclass(frozen=True)
class Captured:
    """A started command and the descriptor from which its output is read. The caller closes it."""

    process: "subprocess.Popen[bytes]"
    output: int


@dataclass
class WrappedCommand:
    """A command line that enforces a profile. `start` it once, and `close` it after it has ended."""

    argv: list[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...] = ()
    """Descriptors that the first process reads: the seccomp filter and redacted files."""
    thread_setup: tuple[Callable[[], object], ...] = ()
    """Called in the thread that starts the command, which inherits the thread's restrictions."""
    helpers: tuple[Callable[[], object], ...] = ()
    """Stop what serves the command: the proxy and the broker for connections."""
    egress: EgressProxy | None = None
    """The proxy for network `list`, which records refused connections."""
    programs: ProgramLog | None = None
    """The programs that it starts; None if they are not recorded."""
    has_monitor: bool = True
    """The first process is the sandbox itself: the others end with it."""
    git: GitState | None = None
    """The state of the repositories before the command."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that belong to this sandbox: those of its proxy and its folders. `environment` contains them."""
    after_close: Callable[[], object] = do_nothing
    removed: list[str] = field(default_factory=list[str])
    """Files removed from repositories at the end, because git would have run them."""
    restored: list[str] = field(default_factory=list[str])
    """Locked files that the command changed, restored at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def start(
        self, *, on_end: Callable[[], None] = do_nothing, environment: Mapping[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[bytes]":
        """Start the command. `on_end` is called in another thread at its end; `options` go to subprocess.Popen.

        Raises:
            OSError: the command could not be started.
        """
        started: Future[subprocess.Popen[bytes]] = Future()
        arguments = {"env": self.environment if environment is None else environment, **options}
        threading.Thread(target=self._run, args=(started, arguments, on_end), name="sandbox", daemon=True).start()
        return started.result()

    def start_captured(self, *, on_end: Callable[[], None], environment: Mapping[str, str], folder: str) -> Captured:
        """Start the command in a session of its own, without input; its output goes to a pipe.

        Raises:
            OSError: the command could not be started.
        """
        read_end, write_end = os.pipe()
        try:
            process = self.start(
                on_end=on_end, environment=environment, cwd=folder, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=write_end, stderr=write_end,
            )  # fmt: skip
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        return Captured(process, read_end)

    def _run(self, started: "Future[subprocess.Popen[bytes]]", options: Any, on_end: Callable[[], None]) -> None:
        """Run the command in this thread: it inherits the thread's filter, and bubblewrap ends with the thread."""
        try:
            for prepare in self.thread_setup:
                prepare()
            process = subprocess.Popen(self.argv, pass_fds=self._passed_descriptors(), **options)
        except BaseException as error:  # noqa: BLE001  `start` raises it again
            started.set_exception(error)
            return
        started.set_result(process)
        with suppress(ChildProcessError):  # another thread has already waited for it
            # WNOWAIT lets other threads poll the process meanwhile, which wait() would block.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.wait()
        on_end()

    def _passed_descriptors(self) -> tuple[int, ...]:
        return (*self.descriptors, *(self.egress.pass_fds if self.egress else ()))

    def close(self) -> None:
        """Stop the helpers, close the descriptors, and remove what git would run. May be called again."""
        helpers, descriptors, git = self.helpers, self.descriptors, self.git
        self.helpers, self.descriptors, self.git, self.egress = (), (), None, None
        for descriptor in descriptors:
            os.close(descriptor)
        for stop in helpers:
            stop()
        if git is not None:
            self.removed += remove_active_git_config(git)
        after, self.after_close = self.after_close, do_nothing
        after()
