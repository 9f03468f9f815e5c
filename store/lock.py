"""Locks between processes: advisory file locks, which the kernel releases when the process ends."""

import asyncio
import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

from ml_intern.configs.errors import ConfigurationError, DiskFull, MLInternError, ThreadLocked
from ml_intern.configs.paths import private_folder
from ml_intern.store.connection import SqlConnection

_ATTEMPTS = 4
_ATTEMPT_SECONDS = 0.005
"""Number and interval of attempts to lock, because `is_locked` takes the lock for a moment."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


def open_lock_file(path: Path) -> int:
    """Open or create a lock file (0600) and return its descriptor. Raises OSError for a symlink."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Try to take the lock without waiting. Return False if another lock conflicts.

    Raises ConfigurationError if the file system has no locks, such as some network file systems.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise ConfigurationError(
            f"the file system of ml-intern's folder has no locks: {error.strerror}",
            "set ML_INTERN_HOME to a folder on a local disk",
        ) from error
    return True


def file_error(error: OSError, path: Path) -> MLInternError:
    """Translate an error on creating or opening a file of the data folder to DiskFull or ConfigurationError."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left to create {path}", "free some disk space and try again")
    return ConfigurationError(
        f"{path} cannot be opened: {error.strerror}", "check its folder, or set ML_INTERN_HOME to another one"
    )


def lock_name(thread_id: str) -> str:
    """Return the name of a thread's lock file, without its suffix. Ids that are not safe file names are hashed."""
    return thread_id if _PLAIN_NAME.fullmatch(thread_id) else hashlib.sha256(thread_id.encode()).hexdigest()


def lock_path(folder: Path, thread_id: str) -> Path:
    """Return the lock file of a thread."""
    return folder / f"{lock_name(thread_id)}.lock"


class ThreadLocks(Protocol):
    """The locks of threads against other processes."""

    def hold(self, thread_id: str) -> AbstractAsyncContextManager[None]:
        """Lock a thread until the block ends. Raises ThreadLocked."""
        ...

    def is_locked(self, connection: SqlConnection, thread_id: str) -> bool:
        """Return whether a process has locked the thread. `connection` is that of the thread database."""
        ...

    def check(self) -> None:
        """Check that no lock was lost. Raises TemporaryError."""
        ...

    async def claim(self, thread_id: str) -> bool:
        """Claim a thread for a process that this one starts. Return False if another worker has claimed it."""
        ...

    async def disclaim(self, thread_id: str) -> None:
        """End a claim."""
        ...


class FileLocks:
    """Locks by files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, thread_id: str) -> AbstractAsyncContextManager[None]:
        """Lock a thread until the block ends. Raises ThreadLocked."""
        return lock_thread(self._folder, thread_id)

    def is_locked(self, connection: SqlConnection, thread_id: str) -> bool:  # noqa: ARG002  the protocol's signature
        """Return whether a process has locked the thread."""
        return is_locked(self._folder, thread_id)

    def check(self) -> None:
        """Do nothing: the lock of a file lasts as long as the process."""

    async def claim(self, thread_id: str) -> bool:  # noqa: ARG002  the protocol's signature
        """Return True: workers share a database."""
        return True

    async def disclaim(self, thread_id: str) -> None:
        """Do nothing."""


@asynccontextmanager
async def lock_thread(folder: Path, thread_id: str) -> AsyncIterator[None]:
    """Lock a thread for this process until the block ends. Killing the process releases the lock.

    Raises ThreadLocked, with the other process's id if it is known.
    """
    # In a thread, because LangGraph's server forbids file operations on the event loop.
    taken = asyncio.get_running_loop().run_in_executor(None, _take, folder, thread_id)
    try:
        descriptor = await asyncio.shield(taken)
    except asyncio.CancelledError:
        taken.add_done_callback(_release)
        raise
    try:
        yield
    finally:
        os.close(descriptor)


def _take(folder: Path, thread_id: str) -> int:
    path = lock_path(folder, thread_id)
    try:
        private_folder(folder)
        descriptor = open_lock_file(path)
    except OSError as error:
        raise file_error(error, path) from error
    try:
        acquire_lock(descriptor, thread_id)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def acquire_lock(descriptor: int, thread_id: str) -> None:
    """Lock an open lock file. Raises ThreadLocked if another process has it or deleted it with its thread."""
    if not _try_repeatedly(descriptor) or os.fstat(descriptor).st_nlink == 0:
        written = os.pread(descriptor, 32, 0)
        holder = f"process {written.decode()}" if written.isdigit() else "another process"
        raise ThreadLocked(
            f"thread {thread_id} is in use by {holder}", "wait until it ends, or use --fork to work on a copy"
        )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _try_repeatedly(descriptor: int) -> bool:
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_ATTEMPT_SECONDS)
        if try_lock(descriptor):
            return True
    return False


def is_locked(folder: Path, thread_id: str) -> bool:
    """Return whether a process has locked the thread. A thread that was never locked has no lock file."""
    with unlocked(lock_path(folder, thread_id)) as is_free:
        return not is_free


@contextmanager
def unlocked(path: Path) -> Iterator[bool]:
    """Provide whether no process has locked this file. If so, none can lock it until the block ends.

    A file that cannot be opened counts as not locked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        yield try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _release(taken: "asyncio.Future[int]") -> None:
    """Release a lock that was acquired after its caller was cancelled."""
    if not taken.cancelled() and taken.exception() is None:
        os.close(taken.result())
