"""Locks between processes: advisory locks on small files, dropped by the kernel when their holder dies."""

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import TemporaryError, ThreadLocked
from configs.paths import private_folder

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


def lock_path(folder: Path, thread_id: str) -> Path:
    """The lock file of a thread; an id that is no plain file name is named by its hash."""
    plain = thread_id if _PLAIN_NAME.fullmatch(thread_id) else hashlib.sha256(thread_id.encode()).hexdigest()
    return folder / f"{plain}.lock"


@contextmanager
def hold_thread(folder: Path, thread_id: str) -> Iterator[None]:
    """Hold a thread for this process until the block ends, even when the process is killed in it.

    The file stays: removing it would let two processes hold two different files of one name.
    Raises ThreadLocked, with the holder's process id when it is known.
    """
    descriptor = open_lock_file(lock_path(private_folder(folder), thread_id))
    try:
        if not try_lock(descriptor):
            raise _locked(thread_id, os.pread(descriptor, 32, 0))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _locked(thread_id: str, written: bytes) -> ThreadLocked:
    holder = f"process {written.decode()}" if written.isdigit() else "another process"
    return ThreadLocked(
        f"thread {thread_id} is being run by {holder}", "wait for it to end, or work on a copy with --fork"
    )
