"""A command inside the OS sandbox: started, with what has to go on outside as long as it runs."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from ml_intern.sandbox.connections import Connections
from ml_intern.sandbox.egress import Egress


def nothing() -> None:
    """What happens at the end of a command when nobody asked for anything."""


@dataclass
class Wrapped:
    """A bubblewrap command line. `start` it once, and `close` it when it has ended."""

    argv: list[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...]
    """What bubblewrap reads from: its filter, the files it covers."""
    connections: Connections | None = None
    """Answers connect(); without it no unix socket can be made."""
    egress: Egress | None = None
    """The way out with network `list`; it knows what it refused."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def start(
        self, *, on_end: Callable[[], None] = nothing, environment: Mapping[str, str] | None = None, **options: Any
    ) -> "subprocess.Popen[bytes]":
        """Start it. `on_end` is called in another thread when it has ended; `options` are those of subprocess.Popen.

        Raises:
            OSError: it could not be started.
        """
        started: Future[subprocess.Popen[bytes]] = Future()
        given = {"env": self.environment if environment is None else environment, **options}
        threading.Thread(target=self._run, args=(started, given, on_end), name="sandbox", daemon=True).start()
        return started.result()

    def _run(self, started: "Future[subprocess.Popen[bytes]]", options: Any, on_end: Callable[[], None]) -> None:
        """The thread a sandbox lives in: its filter is that of the command, and bubblewrap dies with it."""
        try:
            if self.connections is not None:
                self.connections.filter_this_thread()
            process = subprocess.Popen(self.argv, pass_fds=self._passed(), **options)
        except BaseException as error:  # noqa: BLE001  raised again by `start`
            started.set_exception(error)
            return
        started.set_result(process)
        with suppress(ChildProcessError):  # somebody else saw it end
            # wait() alone would keep others from asking how it goes.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.wait()
        on_end()

    def _passed(self) -> tuple[int, ...]:
        return (*self.descriptors, *(self.egress.pass_fds if self.egress else ()))

    def close(self) -> None:
        """End the way out, answer no connection any more, and close the descriptors."""
        if self.egress is not None:
            self.egress.close()
        if self.connections is not None:
            self.connections.close()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors, self.egress, self.connections = (), None, None
