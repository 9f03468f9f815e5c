"""The interface between the tables and a database: what the connections of SQLite and PostgreSQL have in common."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

SqlValues = Sequence[Any] | Mapping[str, Any]
"""The values of `?`, or by name those of `:name`."""


class SqlCursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """Return the number of changed rows."""
        ...

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows as tuples."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class SqlConnection(Protocol):
    """A connection within a transaction. Statements are in the SQL that both databases understand."""

    def execute(self, statement: str, values: SqlValues = ..., /) -> SqlCursor:
        """Run a statement."""
        ...

    def executemany(self, statement: str, values: Iterable[SqlValues], /) -> SqlCursor:
        """Run a statement once for each element of `values`."""
        ...


class ThreadDatabase(Protocol):
    """The database of threads. Its work runs on a thread of its own."""

    async def read(self, work: Callable[[SqlConnection], T]) -> T:
        """Run `work`, which changes nothing. Raises the store's errors."""
        ...

    async def read_cached(self, table: str, key: Hashable, work: Callable[[SqlConnection], T]) -> T:
        """Return the result of `work`, which reads one table, or the one cached under `key` until the table changes.

        A change by another process is noticed with the next transaction of this one.
        """
        ...

    async def write_cached(
        self, table: str, work: Callable[[SqlConnection], tuple[Hashable, T]], *, synced: bool = True
    ) -> T:
        """Run `work` in one transaction like `write`, and cache its result under the key that it returns."""
        ...

    async def write(self, work: Callable[[SqlConnection], T], *, synced: bool = True) -> T:
        """Run `work` in one transaction, which is on disk when this returns. It is rolled back if `work` raises.

        Without `synced`, it is committed when this returns and may be on disk a moment later, but no later than the
        next synced transaction.

        It may run more than once, if another transaction prevents the first from being committed.
        """
        ...

    async def check(self) -> None:
        """Check that the database can still be used. Raises the store's errors."""
        ...

    async def close(self) -> None:
        """Finish queued work and close."""
        ...

    def write_later(self, work: Callable[[SqlConnection], object]) -> None:
        """Run `work` in the next transaction, or soon in one of its own. It may run more than once."""
        ...
