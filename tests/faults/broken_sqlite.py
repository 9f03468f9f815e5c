"""SQLite that fails: `sqlite3.connect` gives connections that tell a plan of each statement, before and after it.

Python offers no way to put a file system of our own under SQLite, so the fault is played one layer above it.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

FAULTS = {
    "FULL": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "IOERR": (sqlite3.SQLITE_IOERR_WRITE, "disk I/O error"),
    "BUSY": (sqlite3.SQLITE_BUSY, "database is locked"),
}


class Crash(BaseException):
    """The process is gone: nothing that runs after this reaches the disk."""


class Plan:
    """Watches statements; the base of all plans only counts them."""

    def __init__(self) -> None:
        self.statements = 0
        self.commits = 0

    def before(self, connection: sqlite3.Connection, sql: str) -> None:
        """Called before each statement; what it raises is the statement's fault."""
        self.statements += 1
        self.commits += sql == "COMMIT"

    def after(self, sql: str) -> None:
        """Called after each statement that went well."""


class DieAtCommit(Plan):
    """The process dies at the n-th commit: right before it, or right after it. From then on no statement runs."""

    def __init__(self, commit: int, *, late: bool) -> None:
        super().__init__()
        self.commit, self.late, self.dead = commit, late, False

    def before(self, connection: sqlite3.Connection, sql: str) -> None:
        super().before(connection, sql)
        self.dead = self.dead or (self.commits == self.commit and not self.late)
        if self.dead:
            raise Crash

    def after(self, sql: str) -> None:
        if self.commits == self.commit and sql == "COMMIT":
            self.dead = True
            raise Crash


class FailAt(Plan):
    """So many statements fail from the n-th on. Some faults make SQLite roll back by itself: IOERR does here."""

    def __init__(self, statement: int, fault: str, times: int = 1) -> None:
        super().__init__()
        self.statement, self.fault, self.times, self.played = statement, fault, times, ""
        self.transaction: list[str] = []
        """The statements of the transaction that failed first."""

    def before(self, connection: sqlite3.Connection, sql: str) -> None:
        super().before(connection, sql)
        if not self.played:
            self.transaction = [sql] if sql.startswith("BEGIN") else [*self.transaction, sql]
        if not self.statement <= self.statements < self.statement + self.times:
            return
        self.played = self.played or sql
        if self.fault == "IOERR" and connection.in_transaction:
            sqlite3.Connection.execute(connection, "ROLLBACK")
        raise error_of(self.fault)


@dataclass
class AfterCommits(Plan):
    """Calls back after each commit, with the number of the commit."""

    done: Callable[[int], None]

    def __post_init__(self) -> None:
        super().__init__()

    def after(self, sql: str) -> None:
        if sql == "COMMIT":
            self.done(self.commits)


def error_of(name: str) -> sqlite3.OperationalError:
    """The exception that Python's sqlite3 raises for this fault."""
    code, text = FAULTS[name]
    fault = sqlite3.OperationalError(text)
    fault.sqlite_errorcode, fault.sqlite_errorname = code, f"SQLITE_{name}"
    return fault


@contextmanager
def broken_sqlite(plan: Plan) -> Iterator[None]:
    """Let every connection opened in this block follow the plan."""
    original = sqlite3.connect
    connect: Callable[..., sqlite3.Connection] = original

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            plan.before(self, sql)
            cursor = super().execute(sql, *values)
            plan.after(sql)
            return cursor

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, **{"factory": Connection, **options})

    sqlite3.connect = connected  # type: ignore[assignment]
    try:
        yield
    finally:
        sqlite3.connect = original
