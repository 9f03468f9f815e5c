"""A sandboxed command together with the helpers that run outside the sandbox during its lifetime."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from ml_intern.sandbox.connections import ConnectionBroker
from ml_intern.sandbox.egress import EgressProxy


def do_nothing() -> None:
    """Ignore the end of a command."""


@dataclass
class WrappedCommand:
    """A bubblewrap command line. `start` it once, and `close` it after it has ended."""

    argv: list[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...]
    """Descriptors that bubblewrap reads: the seccomp filter and redacted files."""
    broker: ConnectionBroker | None = None
    """Performs connect(); without it the command cannot create unix sockets."""
    egress: EgressProxy | None = None
    """The proxy for network `list`, which records refused connections."""

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

    def _run(self, started: "Future[subprocess.Popen[bytes]]", options: Any, on_end: Callable[[], None]) -> None:
        """Run the command in this thread: it inherits the thread's filter, and bubblewrap ends with the thread."""
        try:
            if self.broker is not None:
                self.broker.filter_this_thread()
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
        """Stop the proxy and the broker and close the descriptors."""
        if self.egress is not None:
            self.egress.close()
        if self.broker is not None:
            self.broker.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors, self.egress, self.broker = (), None, None
