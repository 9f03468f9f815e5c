"""The connection to the thread database: ownership checks, pragmas, schema, and transactions on its own thread."""

import asyncio
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Hashable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import aiosqlite

from ml_intern.configs.errors import DatabaseUnusable, DiskFull, MLInternError, TemporaryError
from ml_intern.configs.paths import private_folder
from ml_intern.store.lock import file_error, open_lock_file, try_lock
from ml_intern.store.recovery.files import damaged, find_damage, is_damage, stamp, sync
from ml_intern.store.sqlite.cache import TableCache
from ml_intern.store.sqlite.schema import APPLICATION_ID, CHANGES, SCHEMA_VERSION, TABLES

T = TypeVar("T")

SQLITE_VERSION = sqlite3.sqlite_version
BUSY_SECONDS = 10.0
LATER_SECONDS = 0.25
"""The longest that a write without urgency waits for a transaction of something else."""
PAGE_BYTES = 1024
"""A small page size, since rows of two to three kilobytes would leave half of a larger page empty."""
WAL_PAGES = 256
"""Number of pages in the write-ahead log that triggers a WAL checkpoint."""
_UNCHECKED = b"check"
"""Content of the mark of a database in which damage was found: it is checked when it is opened next."""

_NOTHING = object()
_TABLE_COUNT = "SELECT count(*) FROM sqlite_schema"


class Database(aiosqlite.Connection):
    """An aiosqlite connection that runs each transaction as one call on its thread. Use `open_database`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open_mark: int | None = None
        self._unusable: DatabaseUnusable | DiskFull | None = None
        """The error of all writes: the file was deleted, damage was found in it, or the disk was full at the start."""
        self._syncs = True
        """Whether the connection waits for the disk at each commit."""
        self._unsynced = False
        """Whether a committed transaction may not be on disk yet."""
        self._later: list[Callable[[sqlite3.Connection], object]] = []
        self._cache = TableCache()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        super().__init__(self._connect_file, iter_chunk_size=64)
        # A program that exits without closing must not wait for this thread; SQLite survives that at any time.
        self._thread.daemon = True

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the database's thread. Raises the store's errors, see `store_error`."""
        return await self._run_on_thread(work)

    async def read_cached(self, table: str, key: Hashable, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of `work`, which reads one table, or the one cached under `key` until the table changes.

        A change by another process is noticed with the next transaction of this one.
        """
        cached = self._cache.find(table, key, _NOTHING)
        if cached is not _NOTHING and self._unusable is None:  # without transactions, no change would be noticed
            return cast(T, cached)
        version = self._cache.version(table)
        result = await self.read(work)
        self._cache.add(table, key, version, result)
        return result

    async def write_cached(
        self, table: str, work: Callable[[sqlite3.Connection], tuple[Hashable, T]], *, synced: bool = True
    ) -> T:
        """Run `work` in one transaction like `write`, and cache its result under the key that it returns."""

        def versioned(connection: sqlite3.Connection) -> tuple[Hashable, T, int]:
            key, result = work(connection)
            return key, result, self._cache.version(table)

        key, result, version = await self.write(versioned, synced=synced)
        self._cache.add(table, key, version, result)
        return result

    async def write(self, work: Callable[[sqlite3.Connection], T], *, synced: bool = True) -> T:
        """Run `work` in one transaction, which is on disk when this returns. It is rolled back if `work` raises.

        Without `synced`, the transaction is committed when this returns, so that it survives the end of the process;
        it is on disk with the next synced transaction, or after LATER_SECONDS.

        The same transaction performs what waits since `write_later`, first. Raises DatabaseUnusable if the file was
        deleted meanwhile (its content is saved to another file), or if damage was found in it at any time.
        """
        if not synced:
            self._set_timer()
        later, self._later = self._later, []

        def both(connection: sqlite3.Connection) -> T:
            for one in later:
                one(connection)
            return work(connection)

        def committed(connection: sqlite3.Connection) -> T:
            if self._unusable is None:
                result = self._commit(connection, both, synced=synced)
                if self.path.exists():
                    return result
                self._unusable = _rescued(connection, self.path)
            raise self._unusable

        try:
            return await self._run_on_thread(committed)
        except BaseException:
            self._later = [*later, *self._later]
            raise

    def _commit(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], *, synced: bool) -> T:
        if connection.in_transaction:  # an I/O error prevented the last rollback
            connection.execute("ROLLBACK")
        if synced != self._syncs:
            connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._syncs = synced
        before = connection.total_changes
        result = _transaction(self._noticing(work), connection)
        if synced and self._unsynced and connection.total_changes == before:  # SQLite had nothing to write
            sync(self.path.with_name(self.path.name + "-wal"))
        self._unsynced = not synced
        return result

    def _noticing(self, work: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
        def noticed(connection: sqlite3.Connection) -> T:
            self._cache.notice_others(connection)
            return work(connection)

        return noticed

    def write_later(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Run `work` in the next transaction, or in one of its own after LATER_SECONDS. It may run more than once."""
        self._later.append(work)
        self._set_timer()

    @property
    def waiting(self) -> int:
        """The number of writes that wait for the next transaction."""
        return len(self._later)

    async def flush(self) -> None:
        """Perform what waits since `write_later`. It is on disk when this returns."""
        if self._later:
            await self.write(lambda _: None)

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_SECONDS, self._write_soon)

    async def vacuum(self) -> int:
        """Return unused space to the file system and return the bytes freed. Raises DiskFull, TemporaryError."""
        before = self.path.stat().st_size

        def rewrite(connection: sqlite3.Connection) -> None:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        await self.read(rewrite)
        return max(0, before - self.path.stat().st_size)

    async def check(self) -> None:
        """Look for damage in the file. Raises DatabaseUnusable if there is some; all later writes do so too."""
        if self._unusable is None and self.path.exists() and (finding := await asyncio.to_thread(self._finding)):
            raise self._refuse(damaged(self.path, finding))

    def _finding(self) -> str:
        try:
            return find_damage(self.path)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    def _refuse(self, error: DatabaseUnusable) -> DatabaseUnusable:
        """Refuse all later writes with this error, and have the file checked when it is opened next."""
        self._unusable = error
        if self._open_mark is not None:
            with suppress(OSError):
                os.pwrite(self._open_mark, _UNCHECKED, 0)
        return error

    def _write_soon(self) -> None:
        self._timer = None
        if self._later or self._unsynced:
            self._writing = asyncio.create_task(self.write(lambda _: None))
            # What failed waits on, and the next transaction reports the error.
            self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def close(self) -> None:
        """Finish queued work and close. The last connection merges the write-ahead log into the file."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        try:
            if self._later or self._unsynced:
                with suppress(MLInternError):  # what must not be lost was flushed, or is committed
                    await self.write(lambda _: None)
        finally:
            await super().close()
            self._close_mark()

    async def join(self) -> None:
        """Wait until the thread has ended; it uses the event loop until then."""
        await asyncio.to_thread(self._thread.join)

    async def _run_on_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise  # a programming error, not a problem with the file
        except sqlite3.Error as error:
            if is_damage(error):
                raise self._refuse(damaged(self.path, str(error))) from error
            raise store_error(error, self.path) from error
        return result

    def _connect_file(self) -> sqlite3.Connection:
        try:
            _secure(self.path)
            self._open_mark = open_lock_file(self.path.with_name(self.path.name + ".open"))
            return self._prepared(self._open_mark)
        except BaseException as error:
            self._close_mark()
            if isinstance(error, OSError):
                raise file_error(error, self.path) from error
            raise

    def _prepared(self, mark: int) -> sqlite3.Connection:
        try:
            return _prepare(self.path, mark, self._cache)
        except DiskFull as error:
            self._unusable = error
            return _open_for_reading(self.path, error)

    def _close_mark(self) -> None:
        if self._open_mark is not None:
            os.close(self._open_mark)
            self._open_mark = None


async def open_database(path: Path) -> Database:
    """Open the database at `path`, creating the file (0600) and its folder (0700) if missing.

    A database on a full disk can be read; its writes raise DiskFull.

    Raises DatabaseUnusable (newer version, damaged, a symlink, another owner), DiskFull, TemporaryError.
    """
    database = Database(path)
    try:
        await database
    except BaseException:
        await database.join()
        raise
    return database


def store_error(error: sqlite3.Error, path: Path) -> MLInternError:
    """Translate an SQLite error to DiskFull, TemporaryError or DatabaseUnusable."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_space(path)):
        return DiskFull(f"no space left to write {path}", "free some disk space and resume the thread")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return TemporaryError(f"{path} was locked by another process for {BUSY_SECONDS:.0f} s", "try again")
    if code == sqlite3.SQLITE_IOERR:
        return TemporaryError(f"{path} could not be read or written: {error}", "check the disk and resume the thread")
    if is_damage(error):
        return damaged(path, str(error))
    return DatabaseUnusable(f"{path} cannot be used: {error}", "run `ml-intern doctor`")


def _transaction(work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _no_space(path: Path) -> bool:
    free = os.statvfs(path.parent)
    return free.f_bavail * free.f_frsize < 1024 * 1024


def _secure(path: Path) -> None:
    """Ensure that folder and file belong to the user and are readable only by them."""
    folder = path.parent
    if folder.exists() and (folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & stat.S_ISVTX):
        raise DatabaseUnusable(f"{folder} is shared or belongs to another user", "set ML_INTERN_HOME to another folder")
    private_folder(folder)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise DatabaseUnusable(
                f"{path} is a symlink, not a regular file, or belongs to another user", "move it elsewhere"
            ) from None
        path.chmod(0o600)


def _prepare(path: Path, mark: int, cache: TableCache) -> sqlite3.Connection:
    """Connect, and let the cache notice changes. After an unclean end, the first process to open the file checks it."""
    is_exclusive = _wait_for_mark(path, mark)
    try:
        if is_exclusive and (_size(path.with_name(path.name + "-wal")) or os.fstat(mark).st_size):
            if finding := find_damage(path):
                raise damaged(path, finding)
            os.ftruncate(mark, 0)
        connection = _connect(path, cache)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    try_lock(mark, shared=True)
    return connection


def _connect(path: Path, cache: TableCache) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _pragmas(connection)
        _transaction(partial(_check_schema, path), connection)
        cache.watch(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_for_reading(path: Path, error: DiskFull) -> sqlite3.Connection:
    """Open a database on a full disk so that it can be read. Raises `error` if it cannot."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # else SQLite needs a new file for shared memory
        connection.execute("PRAGMA query_only = ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(_TABLE_COUNT).fetchone()
    except sqlite3.Error:
        connection.close()
        raise error from None
    if version != SCHEMA_VERSION:
        connection.close()
        raise error
    return connection


def _wait_for_mark(path: Path, mark: int) -> bool:
    """Return True with an exclusive mark, or False if other processes have set up and opened the database."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        if try_lock(mark):
            return True
        if try_lock(mark, shared=True):
            return False
        if time.monotonic() > deadline:
            raise TemporaryError(f"another process is checking {path}", "try again")
        time.sleep(0.01)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _pragmas(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    # Truncate the log after a large commit.
    connection.execute(f"PRAGMA journal_size_limit = {2 * WAL_PAGES * PAGE_BYTES}")


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if version > SCHEMA_VERSION and application == APPLICATION_ID:
        raise DatabaseUnusable(
            f"{path} was written by a newer ml-intern (schema {version}, this version supports {SCHEMA_VERSION})",
            "upgrade ml-intern, or set ML_INTERN_HOME to another folder",
        )
    if application == APPLICATION_ID:
        for older in range(version, SCHEMA_VERSION):
            for statement in _statements(CHANGES[older]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {older + 1}")
        return
    if application or version or connection.execute(_TABLE_COUNT).fetchone()[0]:
        raise DatabaseUnusable(f"{path} is a database of another program", "move it elsewhere")
    for statement in _statements(TABLES):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _statements(script: str) -> list[str]:
    """Split a script into statements, because `executescript` would commit the open transaction."""
    statements, pending = [], ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


def _rescued(connection: sqlite3.Connection, path: Path) -> DatabaseUnusable:
    """Save the content of a database whose file was deleted: the open connection still has all of it."""
    saved = path.with_name(f"{path.name}.rescued-{stamp()}")
    private_folder(path.parent)
    os.close(os.open(saved, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    with closing(sqlite3.connect(saved)) as copy:
        connection.backup(copy)
    return DatabaseUnusable(
        f"{path} was deleted while ml-intern used it; its content was saved to {saved.name}",
        f"to continue, run: mv {saved} {path}",
    )
