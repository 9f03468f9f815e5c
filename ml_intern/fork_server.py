"""A process that has imported ml-intern and forks one process for each request; session/wire/children.py sends them.

A request is its length, the socket that becomes the new process's standard input and output, and {"module", "args"}
as JSON. The new process calls the function `main` of the module.
"""

import gc
import json
import os
import signal
import socket
import sys
from importlib import import_module
from typing import Any

from ml_intern.session.wire.children import LENGTH
from ml_intern.startup import prepare_process

IMPORTED = (
    "ml_intern.cli",
    "ml_intern.commands.running.session",
    "ml_intern.server.web.watching.reader_process",
    "ml_intern.session.opening.services",
    "ml_intern.session.opening.session",
    "ml_intern.session.runner",
    "ml_intern.session.team.runner",
    "ml_intern.session.wire.stdio",
    "ml_intern.store.checkpoints.saver",
)
"""The modules of a session and of the web page's reader. They import nearly everything else."""


def main() -> None:
    """Import, then fork until the program that started this process has ended."""
    prepare_process()
    from ml_intern.sandbox.own_process import hide_own_process

    hide_own_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the sessions
    for name in IMPORTED:
        import_module(name)
    gc.freeze()  # a collection in a child would write to all shared pages
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes children that have ended
    with socket.socket(fileno=os.dup(0)) as requests:
        while (request := _next(requests)) is not None:
            channel, order = request
            if os.fork() == 0:
                requests.close()
                _become(channel, order)
                return
            os.close(channel)


def _next(requests: socket.socket) -> tuple[int, dict[str, Any]] | None:
    """Return the socket and the order of the next request; None at the end."""
    head, channels, _, _ = socket.recv_fds(requests, LENGTH.size, 1)
    if not head:
        return None
    with requests.makefile("rb", buffering=0) as stream:
        body = b""
        while len(body) < LENGTH.unpack(head)[0]:
            body += stream.read(LENGTH.unpack(head)[0] - len(body)) or b""
    return channels[0], json.loads(body)


def _become(channel: int, order: dict[str, Any]) -> None:
    """Run the ordered module in this new process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if order["detached"]:
        os.setsid()
    os.dup2(channel, 0)
    os.dup2(channel, 1)
    os.close(channel)
    sys.stdin, sys.stdout = os.fdopen(0, "r", closefd=False), os.fdopen(1, "w", closefd=False)
    sys.argv = [order["module"], *order["args"]]
    import_module(order["module"]).main()


if __name__ == "__main__":
    main()
