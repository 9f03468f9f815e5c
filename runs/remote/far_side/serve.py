"""One operation: an order on standard input, an answer on standard output."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_intern.runs.remote.far_side.delivery import adopt, missing, receive
from ml_intern.runs.remote.far_side.job_arrays import start_array
from ml_intern.runs.remote.far_side.machine import probe
from ml_intern.runs.remote.far_side.runs import (
    abandon,
    cancel,
    content,
    log,
    outputs,
    start,
    states,
    usage,
    withdraw,
)

MARK = "ml-intern-answer:"
FULL = "its disk is full; free space in {0}, or name another folder by workdir"
UNUSABLE = "{0} cannot be used ({1}); name another folder by workdir"
PROBLEMS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: UNUSABLE,
    errno.EACCES: UNUSABLE,
    errno.ENOTDIR: UNUSABLE,
    errno.EEXIST: UNUSABLE,
}

OPERATIONS: dict[str, Callable[[Path, dict[str, Any]], dict[str, Any]]] = {
    one.__name__: one
    for one in (
        missing, adopt, probe, start, start_array, states, log, cancel, withdraw, abandon, outputs, content, usage,
    )
}  # fmt: skip


def serve(root_text: str, operation: str, far_side: str) -> None:
    """Perform one operation and print its answer."""
    os.umask(0o077)
    root, stream = Path(root_text).expanduser(), sys.stdin.buffer
    try:
        order = json.loads(stream.readline())
        order["far_side"] = far_side
        answer = receive(root, order, stream) if operation == "receive" else OPERATIONS[operation](root, order)
    except OSError as error:
        known = PROBLEMS.get(error.errno or 0)
        answer = {"error": known.format(root_text, error.strerror) if known else str(error)}
    except subprocess.TimeoutExpired as error:
        answer = {"error": str(error)}
    print(f"\n{MARK}{json.dumps(answer)}", flush=True)
