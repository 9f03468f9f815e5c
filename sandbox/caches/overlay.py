"""Give sandboxes the user's caches in a form that changes only inside: per workspace one overlay over each cache.

Parallel commands share one mount, as an overlay's upper folder must not be mounted twice. A small process holds the
mounts (sandbox/caches/holder_process.py); sandboxes enter its namespaces. Where that is not possible, the caches inside
are empty private folders at first.
"""

import errno
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ml_intern.sandbox.caches.store import CacheFolder, cache_folder, prune_caches_daily

_PROGRAM = (Path(__file__).parent / "holder_process.py").read_text(encoding="utf-8")
_SECONDS = 30
_SWEEP_SECONDS = 30.0
"""How often the holder looks for sandboxes that a killed ml-intern left while they started."""
MAX_HOLDERS = 4
"""The folders whose mounts this process keeps between commands. Those of other folders end with their last command."""


@dataclass(frozen=True)
class CacheMounts:
    """How a sandbox reaches its caches."""

    prefix: tuple[str, ...] = ()
    """The command that enters the holder's namespaces, before bubblewrap."""
    binds: tuple[str, ...] = ()
    """The bubblewrap options that bind the caches."""
    descriptors: tuple[int, ...] = ()
    """A descriptor that keeps the mounts, if there is a holder. The caller closes it."""

    @property
    def keep(self) -> list[str]:
        """Return the bubblewrap options that keep the mounts while the sandbox runs."""
        return [word for descriptor in self.descriptors for word in ("--sync-fd", str(descriptor))]


def open_caches(store: str, workspace: str, caches: Sequence[str]) -> CacheMounts:
    """Return the mounts of a workspace's caches; they are made at the first use.

    Raises:
        OSError: the store cannot be written.
    """
    if not caches:
        return CacheMounts()
    folder = cache_folder(store, workspace, caches)
    start_pruning(store)
    private = CacheMounts(binds=_binds((cache.private, cache.path) for cache in folder.caches))
    nsenter = shutil.which("nsenter")
    if nsenter is None:
        return private
    holder = _holder(folder)  # its descriptor stays open while this name exists
    found = holder.find()
    if found is None:
        return private
    process, users = found
    prefix = (nsenter, "--target", str(process), "--user", "--mount", "--preserve-credentials", "--")
    return CacheMounts(prefix, _binds((cache.mounted, cache.path) for cache in folder.caches), (os.dup(users),))


def _binds(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(word for source, path in pairs for word in ("--bind", source, path))


@lru_cache(maxsize=8)
def start_pruning(store: str) -> None:
    """Prune in the background, once per process."""
    threading.Thread(target=prune_caches_daily, args=(store,), name="prune caches", daemon=True).start()


class _Holder:
    """This process's use of the holder of one folder."""

    def __init__(self, folder: CacheFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._users = self._process = self._pidfd = -1
        self._impossible = False

    def find(self) -> tuple[int, int] | None:
        """Return the holder's process id and the descriptor of its users; None if there can be no mounts."""
        with self._lock:
            if self._impossible:
                return None
            if self._pidfd < 0 or _is_ready(self._pidfd, 0):
                self._close()
                self._impossible = not self._join_or_start()
            return None if self._impossible else (self._process, self._users)

    def _join_or_start(self) -> bool:
        """Return whether there is a holder now. Without locks, as on some network file systems, none is started."""
        try:
            with _locked(self._folder.path / "lock"):
                return self._join() or (self._start() and self._join())
        except OSError as error:
            if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP}:
                return False
            raise

    def _join(self) -> bool:
        """Use the holder that runs, of this or another ml-intern."""
        try:
            users = os.open(self._folder.path / "users", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # it has no reader: there is no holder
            return False
        try:
            self._process = int((self._folder.path / "pid").read_text())
            self._pidfd = os.pidfd_open(self._process)
        except (OSError, ValueError):
            os.close(users)
            return False
        self._users = users
        return True

    def _start(self) -> bool:
        caches = [cache.prepared() for cache in self._folder.caches]
        order = {"folder": str(self._folder.path), "caches": caches, "sweep_s": _SWEEP_SECONDS}
        with suppress(FileExistsError):
            os.mkfifo(self._folder.path / "users", 0o600)
        python = os.path.realpath(sys.executable)
        process = subprocess.Popen(
            [python, "-I", "-S", "-c", _PROGRAM, json.dumps(order)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/",
        )  # fmt: skip
        threading.Thread(target=process.wait, name="cache holder", daemon=True).start()
        assert process.stdout is not None  # noqa: S101  it is a pipe
        with process.stdout as answer:
            ready = _is_ready(answer.fileno(), _SECONDS) and answer.readline() == b"\n"
        if not ready:
            process.kill()
            return False
        (self._folder.path / "pid").write_text(str(process.pid))
        return True

    def __del__(self) -> None:
        """Stop using the holder. Sandboxes that still use it have descriptors of their own."""
        self._close()

    def _close(self) -> None:
        for descriptor in (self._users, self._pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self._users = self._pidfd = -1


def _is_ready(descriptor: int, seconds: float) -> bool:
    """Wait until a descriptor can be read. Unlike select, poll takes descriptors above 1,023."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(1000 * seconds))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@lru_cache(maxsize=MAX_HOLDERS)
def _holder(folder: CacheFolder) -> _Holder:
    return _Holder(folder)
