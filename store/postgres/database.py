"""The connection to PostgreSQL on a thread of its own, which also tells the server that this process is alive."""

import asyncio
import threading
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Final, NoReturn, TypeVar

import psycopg
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ml_intern.configs.errors import ConfigurationError, DatabaseUnusable, DiskFull, MLInternError, TemporaryError
from ml_intern.store.connection import SqlConnection
from ml_intern.store.postgres.schema import prepare_tables
from ml_intern.store.postgres.statements import TableConnection

T = TypeVar("T")

SILENT_SECONDS: Final = 8
"""The server ends a connection that said nothing for this long, and with it the locks of its threads."""
_BEAT_SECONDS: Final = SILENT_SECONDS / 4
_LATER_SECONDS: Final = 0.25
_MAX_ATTEMPTS: Final = 50
"""Attempts to commit a transaction beside others that change the same rows."""
_PASSING: Final = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_CONFIGURED: Final = (
    psycopg.errors.InvalidPassword,
    psycopg.errors.InvalidAuthorizationSpecification,
    psycopg.errors.InvalidCatalogName,
    psycopg.errors.InsufficientPrivilege,
)
_SETTINGS: Final = {
    "idle_session_timeout": f"{SILENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{SILENT_SECONDS}s",
    "default_transaction_isolation": "serializable",
    "search_path": "ml_intern,public",
}


class NumericLoader(Loader):
    """Reads sums of integers as integers."""

    def load(self, data: Any) -> int | float:
        """Return the number."""
        text = bytes(data).decode()
        return float(text) if "." in text else int(text)


class PostgresDatabase:
    """A connection to a PostgreSQL database. Use `open_postgres`.

    While a thread is locked through it (`pin`), a lost connection is not replaced: the lock is gone with it, and all
    later work raises TemporaryError.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = database_name(url)
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._pins = 0
        self.was_lost = False
        """Whether the connection was lost while it had a lock, which another process may have taken."""
        self._unsynced = False
        """Whether a committed transaction may not be on disk yet."""
        self._later: list[Callable[[SqlConnection], object]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._work, name="postgres", daemon=True)
        self._thread.start()

    async def connect(self) -> None:
        """Connect, and create or change the tables. Raises ConfigurationError, DatabaseUnusable or TemporaryError."""
        await self._run(self._connected)

    async def read(self, work: Callable[[SqlConnection], T]) -> T:
        """Run `work`, which changes nothing. Raises the store's errors, see `postgres_error`."""
        return await self._run(lambda: work(TableConnection(self._connected())))

    async def read_cached(
        self,
        table: str,  # noqa: ARG002  nothing is cached, since other machines change the tables, too
        key: Hashable,  # noqa: ARG002
        work: Callable[[SqlConnection], T],
    ) -> T:
        """Run `work`, which reads one table."""
        return await self.read(work)

    async def write_cached(
        self,
        table: str,  # noqa: ARG002
        work: Callable[[SqlConnection], tuple[Hashable, T]],
        *,
        synced: bool = True,
    ) -> T:
        """Run `work` in one transaction like `write`, and return its result without the key."""
        return (await self.write(work, synced=synced))[1]

    async def write(self, work: Callable[[SqlConnection], T], *, synced: bool = True) -> T:
        """Run `work` in one serializable transaction, which is on disk when this returns. It may run more than once.

        Without `synced`, it is committed when this returns, and on disk with the next synced transaction or a moment
        later. The same transaction performs what waits since `write_later`, first.
        """
        later, self._later = self._later, []

        def both(connection: SqlConnection) -> T:
            for one in later:
                one(connection)
            return work(connection)

        try:
            return await self._run(lambda: self._transaction(both, synced=synced))
        except BaseException:
            self._later = [*later, *self._later]
            raise

    def write_later(self, work: Callable[[SqlConnection], object]) -> None:
        """Run `work` in the next transaction, or soon in one of its own. It may run more than once."""
        self._later.append(work)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LATER_SECONDS, self._write_soon)

    @property
    def waiting(self) -> int:
        """The number of writes that wait for the next transaction."""
        return len(self._later)

    async def flush(self) -> None:
        """Perform what waits since `write_later`. It is on disk when this returns."""
        if self._later:
            await self.write(lambda _: None)

    async def check(self) -> None:
        """Check that the server answers."""
        await self.read(lambda connection: connection.execute("SELECT 1").fetchone())

    async def pin(self, work: Callable[[SqlConnection], T]) -> T:
        """Run `work`, which takes a lock of the session, and do not replace the connection until `unpin`."""
        result = await self.read(work)
        self._pins += 1
        return result

    async def unpin(self, work: Callable[[SqlConnection], object]) -> None:
        """Run `work`, which releases the lock. A lost connection has released it."""
        self._pins -= 1
        if not self.was_lost:
            await self.read(work)
        elif not self._pins:
            self.was_lost = False

    async def close(self) -> None:
        """Finish queued work and close the connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._later and self._connection is not None and not self.was_lost:
            await self.write(lambda _: None)
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _write_soon(self) -> None:
        self._timer = None
        if self._later:
            self._writing = asyncio.create_task(self.write(lambda _: None))
            # What failed waits on, and the next transaction reports the error.
            self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _run(self, work: Callable[[], T]) -> T:
        done: Future[T] = Future()
        self._queue.put((done, work))
        return await asyncio.wrap_future(done)

    def _work(self) -> None:
        """Run the queued work, and in between tell the server that this process is alive."""
        while True:
            try:
                queued = self._queue.get(timeout=_BEAT_SECONDS)
            except Empty:
                self._beat()
                continue
            if queued is None:
                break
            done, work = queued
            if done.set_running_or_notify_cancel():
                self._perform(done, work)
        if self._connection is not None:
            self._connection.close()

    def _perform(self, done: Future[Any], work: Callable[[], Any]) -> None:
        try:
            done.set_result(work())
        except (psycopg.IntegrityError, psycopg.ProgrammingError) as error:
            done.set_exception(error)
        except psycopg.Error as error:
            self._drop_broken()
            done.set_exception(self.lost_error() if self.was_lost else postgres_error(error, self.name))
        except BaseException as error:  # noqa: BLE001  it is raised in the caller
            done.set_exception(error)

    def _beat(self) -> None:
        try:
            if self._connection is not None:
                self._connection.execute("SELECT 1")
        except psycopg.Error:
            self._drop_broken()

    def _drop_broken(self) -> None:
        if self._connection is not None and self._connection.broken:
            self._connection = None
            self.was_lost = self._pins > 0

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self.was_lost:
            raise self.lost_error()
        if self._connection is None:
            self._connection = open_connection(self.url)
        return self._connection

    def lost_error(self) -> TemporaryError:
        """Return the error of a connection that was lost while it had a lock."""
        return TemporaryError(
            f"the connection to {self.name} was lost, and with it the lock of the thread", "resume the thread"
        )

    def _transaction(self, work: Callable[[SqlConnection], T], *, synced: bool) -> T:
        connection = self._connected()
        tables = TableConnection(connection)
        for _ in range(_MAX_ATTEMPTS):
            try:
                with connection.transaction():
                    if not synced:
                        connection.execute("SET LOCAL synchronous_commit = off")
                    elif self._unsynced:  # the commit of a transaction without changes would wait for nothing
                        connection.execute("SELECT pg_current_xact_id()")
                    result = work(tables)
                self._unsynced = not synced
            except _PASSING:
                continue
            else:
                return result
        raise TemporaryError(f"{self.name} is too busy to save the thread", "try again")


async def open_postgres(url: str) -> PostgresDatabase:
    """Open a database by its URL. Raises ConfigurationError, DatabaseUnusable or TemporaryError."""
    database = PostgresDatabase(url)
    try:
        await database.connect()
    except BaseException:
        await database.close()
        raise
    return database


def open_connection(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect with the settings of the store, and prepare the tables. It blocks."""
    connection = psycopg.connect(connection_text(url), autocommit=True)
    try:
        connection.adapters.register_loader("numeric", NumericLoader)
        _refuse_shared_sessions(connection, database_name(url))
        prepare_tables(connection, database_name(url))
    except BaseException:
        connection.close()
        raise
    return connection


def connection_text(url: str, settings: Mapping[str, str] = _SETTINGS) -> str:
    """Return a URL with the settings of the store's connections. Raises ConfigurationError."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    try:
        return make_conninfo(
            url, options=options, application_name="ml-intern", connect_timeout=10, keepalives_idle=5,
            keepalives_interval=2, keepalives_count=3, tcp_user_timeout=SILENT_SECONDS * 1000,
        )  # fmt: skip
    except psycopg.ProgrammingError as error:
        _refuse(url, str(error))


def database_name(url: str) -> str:
    """Return a database's name for messages, without its password. Raises ConfigurationError."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        _refuse(url, str(error))
    return f"the database {parts.get('dbname') or parts.get('user') or ''} on {parts.get('host') or 'this machine'}"


def _refuse(url: str, why: str) -> NoReturn:
    scheme = url.partition("://")[0][:20]
    raise ConfigurationError(
        f"this is not the address of a PostgreSQL database ({scheme}...): {why.strip()}",
        "the form is postgresql://USER:PASSWORD@HOST/NAME",
    )


def _refuse_shared_sessions(connection: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    """Raise ConfigurationError if a pooler stands between, whose sessions lose locks and settings."""
    found = connection.execute("SELECT current_setting('idle_session_timeout')").fetchone()
    if found != (f"{SILENT_SECONDS}s",):
        raise ConfigurationError(
            f"{name} does not apply the settings of a connection, such as behind PgBouncer in transaction mode",
            "connect to PostgreSQL 14 or later itself, or to a pooler in session mode",
        )


def postgres_error(error: psycopg.Error, name: str) -> MLInternError:
    """Translate an error of the server to one of the store's."""
    text = " ".join(str(error).split())
    if isinstance(error, psycopg.errors.DiskFull):
        return DiskFull(f"no space left on the disk of {name}", "free some disk space there and resume the thread")
    if isinstance(error, _CONFIGURED) or "authentication failed" in text or "does not exist" in text:
        return ConfigurationError(f"{name} refuses the connection: {text}", "check its address, user and password")
    if "startup parameter" in text:
        return ConfigurationError(
            f"{name} is behind PgBouncer, which does not pass on the settings of a connection",
            "connect to PostgreSQL itself, since locks need sessions of their own",
        )
    if isinstance(error, psycopg.OperationalError):
        return TemporaryError(f"{name} cannot be reached: {text}", "try again")
    return DatabaseUnusable(f"{name} cannot be used: {text}", "check the server's log")
