"""Start a program against the model server and read off times, memory and CPU."""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Usage:
    """What one process took: seconds of wall and CPU time, peak resident memory in MB, exit code."""

    started: float
    wall: float
    cpu: float
    peak_mb: float
    code: int


@dataclass(frozen=True)
class Records:
    """What the server saw: when it had request i and when it had sent reply i (monotonic clock)."""

    received: list[float]
    sent: list[float]
    sizes: list[int]


@contextmanager
def model_server(iterations: int) -> Iterator[str]:
    """A fresh server process; yields its base URL without /v1."""
    command = [sys.executable, str(HERE / "server.py"), "--iterations", str(iterations)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def records(base: str) -> Records:
    """What the server at `base` has seen."""
    with urllib.request.urlopen(f"{base}/records", timeout=10) as reply:
        return Records(**json.load(reply))


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Usage:
    """Run a program to its end, its output going to `log`."""
    with log.open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    return Usage(started, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, process.returncode)


def bash_alone(command: str, times: int = 200) -> float:
    """Median seconds of `bash -c command` started from a small process, its output read."""

    def once() -> float:
        started = time.monotonic()
        subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, check=True)
        return time.monotonic() - started

    return statistics.median(once() for _ in range(times))
