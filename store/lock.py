"""Locks between processes: advisory locks on small files, dropped by the kernel when their holder dies."""

import asyncio
import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ml_intern.configs.errors import ConfigurationError, DiskFull, MLInternError, TemporaryError, ThreadLocked
from ml_intern.configs.paths import private_folder

_CLAIMS = 4
_CLAIM_SECONDS = 0.005
"""A claim is made so often, so far apart: `is_held` takes the lock for a moment to see whether it can."""
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


def open_lock_file(path: Path) -> int:
    """Open or create a lock file for its owner alone (0600) and return its descriptor; a symlink is refused."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock without waiting; False when somebody else's lock excludes it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as fault:
        if fault.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise TemporaryError(f"the file system refused a lock: {fault.strerror}") from fault
    return True


def file_error(fault: OSError, path: Path) -> MLInternError:
    """What it means to the user that a file of the data folder cannot be made or opened."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"no space left to create {path}", "free some space and try again")
    return ConfigurationError(
        f"{path} cannot be opened: {fault.strerror}", "check its folder, or set ML_INTERN_HOME to another one"
    )


def lock_path(folder: Path, thread_id: str) -> Path:
    """The lock file of a thread; an id that is no plain file name is named by its hash."""
    plain = thread_id if _PLAIN_NAME.fullmatch(thread_id) else hashlib.sha256(thread_id.encode()).hexdigest()
    return folder / f"{plain}.lock"


@asynccontextmanager
async def hold_thread(folder: Path, thread_id: str) -> AsyncIterator[None]:
    """Hold a thread for this process until the block ends, even when the process is killed in it.

    Raises ThreadLocked, with the holder's process id when it is known.
    """
    # Off the event loop: LangGraph's server refuses file operations on it.
    taken = asyncio.get_running_loop().run_in_executor(None, _take, folder, thread_id)
    try:
        descriptor = await asyncio.shield(taken)
    except asyncio.CancelledError:
        taken.add_done_callback(_give_back)
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
    except OSError as fault:
        raise file_error(fault, path) from fault
    try:
        claim_lock(descriptor, thread_id)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def claim_lock(descriptor: int, thread_id: str) -> None:
    """Lock an open file for this process. Raises ThreadLocked: it is held, or was deleted with its thread meanwhile."""
    if not _lock_within(descriptor) or os.fstat(descriptor).st_nlink == 0:
        written = os.pread(descriptor, 32, 0)
        holder = f"process {written.decode()}" if written.isdigit() else "another process"
        raise ThreadLocked(
            f"thread {thread_id} is being run by {holder}", "wait for it to end, or work on a copy with --fork"
        )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _lock_within(descriptor: int) -> bool:
    for claim in range(_CLAIMS):
        if claim:
            time.sleep(_CLAIM_SECONDS)
        if try_lock(descriptor):
            return True
    return False


def is_held(folder: Path, thread_id: str) -> bool:
    """Whether some process holds a thread. A thread nobody ever held has no lock file."""
    try:
        descriptor = os.open(lock_path(folder, thread_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _give_back(taken: "asyncio.Future[int]") -> None:
    """Let go of a lock that came after its taker was cancelled."""
    if not taken.cancelled() and taken.exception() is None:
        os.close(taken.result())
