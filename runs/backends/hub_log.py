"""Copy the growing log of a job to a local file: each line once, across broken connections and restarts.

The Hub sends a log from its beginning on every request. The number of lines already copied and the length of the
copy are therefore saved in a second file beside it.
"""

import asyncio
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.paths import private_folder
from ml_intern.execution.output import private_opener
from ml_intern.net.hub import hub_api
from ml_intern.net.hub_errors import to_tool_error
from ml_intern.net.service import NotFound

STARTED = "===== Job started"
"""The beginning of a line added by the Hub."""
CONNECT_SECONDS = 10.0
SILENT_SECONDS = 120.0
"""Read timeout of a stream. The Hub sends a keep-alive every 30 seconds."""
REPLAY_SECONDS = 5.0
"""Read timeout of the log of an ended job."""
PAUSE_SECONDS = 0.25
"""Delay before a stream is opened again. It doubles after each failure."""
MAX_PAUSE_SECONDS = 10.0
SETTLE_SECONDS = 1.0
ENDED = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
_POLL_SECONDS = 0.05


class LogFollowers:
    """The followers of this process, one per log."""

    def __init__(self) -> None:
        self._followers: dict[Path, _Follower] = {}

    async def follow(self, where: Mapping[str, str], log: Path, *, wait_s: float) -> None:
        """Start copying the log if necessary, and wait at most `wait_s` seconds until the copy is complete.

        Raises:
            TemporaryError: the log cannot be copied, or not completely in that time.
        """
        follower = self._followers.get(log)
        if follower is None or not (follower.at_work or follower.complete):
            follower = self._followers[log] = _Follower(where, log)
            follower.start()
        if wait_s:
            follower.hurry()
        deadline = time.monotonic() + wait_s
        while follower.at_work and time.monotonic() < deadline:  # noqa: ASYNC110 a thread's end has no event
            await asyncio.sleep(_POLL_SECONDS)
        if follower.problem and not follower.complete and (wait_s or not follower.at_work):
            raise TemporaryError(f"the log of job {where['job_id']} is incomplete: {follower.problem}", "try again")


class _Follower:
    """Copies one log in a daemon thread."""

    def __init__(self, where: Mapping[str, str], log: Path) -> None:
        self._where = where
        self._log = log
        self._thread = threading.Thread(target=self._run, name="log of a job", daemon=True)
        self._hurried = threading.Event()
        self.complete = False
        self.problem = ""

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Retry without delay, because the job has ended."""
        self._hurried.set()

    @property
    def at_work(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            private_folder(self._log.parent)
            with _Copy(self._log) as copy:
                self._copy_all(copy)
        except OSError as error:
            self.problem = f"{self._log}: {error.strerror or error}"

    def _copy_all(self, copy: "_Copy") -> None:
        """Copy until a stream opened after the job's end is read to its end. Raises OSError from the local file."""
        pause = PAUSE_SECONDS
        while not copy.complete:
            try:
                self._copy_once(copy)
                self.problem, pause = "", PAUSE_SECONDS
            except (_Unwritable, NotFound) as error:
                if isinstance(error, _Unwritable):
                    raise error.cause from error
                copy.complete = True
            except Exception as error:  # noqa: BLE001 any network or library error is retried
                self.problem, pause = f"{type(error).__name__}: {error}"[:200], min(pause * 2, MAX_PAUSE_SECONDS)
            copy.settle()
            if not copy.complete:
                self._hurried.wait(pause)
        self.complete = True

    def _copy_once(self, copy: "_Copy") -> None:
        ended = self._has_ended()
        for line in _lines(self._where, copy.lines, ended=ended):
            copy.add(line)
        copy.complete = ended

    def _has_ended(self) -> bool:
        """Return whether the job has ended. Raises NotFound when it no longer exists."""
        try:
            return str(hub_api().inspect_job(**self._where).status.stage) in ENDED
        except Exception as error:
            fault = to_tool_error(error)
            if isinstance(fault, NotFound):
                raise fault from error
            raise


def _lines(where: Mapping[str, str], skip: int, *, ended: bool) -> Iterator[str]:
    """Yield the lines of the log after the first `skip`, as they arrive."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, httpx  # type: ignore[attr-defined]

    api = hub_api()
    url = f"{api.endpoint}/api/jobs/{where['namespace']}/{where['job_id']}/logs"
    headers = build_hf_headers(token=api.token, library_name=api.library_name, library_version=api.library_version)
    timeout = httpx.Timeout(REPLAY_SECONDS if ended else SILENT_SECONDS, connect=CONNECT_SECONDS)
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        number = 0
        try:
            for event in _events(response.iter_bytes()):
                text = str(event.get("data", ""))
                if not text.startswith(STARTED):
                    number += 1
                    if number > skip:
                        yield text
        except httpx.ReadTimeout:
            if not ended:
                raise


def _events(chunks: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the JSON of server-sent events. Lines end with LF only; other line ends belong to the log's text."""
    parts: list[bytes] = []
    for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            parts.append(line)
            yield from _event(b"".join(parts))
            parts.clear()
        parts.append(rest)


def _event(line: bytes) -> Iterator[dict[str, Any]]:
    if line.startswith(b"data: {"):
        yield json.loads(line.removeprefix(b"data: ").decode("utf-8", "replace"))


class _Unwritable(Exception):
    """The local file cannot be written."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Copy:
    """The local copy of a log. One process at a time writes it. A line cut off by a crash is written again."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._settled = time.monotonic()
        self.lines = 0
        self.complete = False

    def __enter__(self) -> "_Copy":
        with ExitStack() as files:
            beside = self._log.with_name(f"{self._log.name}.lines")
            self._known = files.enter_context(open(beside, "a+", encoding="ascii", opener=private_opener))
            fcntl.flock(self._known, fcntl.LOCK_EX)  # waits until no other process copies it
            self._known.seek(0)
            known = (self._known.read() or "0 0 0").split()
            self.lines, length, self.complete = int(known[0]), int(known[1]), known[2] == "1"
            self._file = files.enter_context(open(self._log, "ab", buffering=0, opener=private_opener))
            self._file.truncate(min(length, self._file.tell()))
            self._files = files.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def add(self, line: str) -> None:
        """Append a line. Raises _Unwritable."""
        try:
            self._file.write(f"{line}\n".encode("utf-8", "replace"))
        except OSError as error:
            raise _Unwritable(error) from error
        self.lines += 1
        if time.monotonic() - self._settled > SETTLE_SECONDS:
            self.settle()

    def settle(self) -> None:
        """Save the number of lines and the length of the copy."""
        self._known.seek(0)
        self._known.truncate()
        self._known.write(f"{self.lines} {os.fstat(self._file.fileno()).st_size} {int(self.complete)}")
        self._known.flush()
        self._settled = time.monotonic()
