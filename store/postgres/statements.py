"""Translation of the tables' statements and values to psycopg's form."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg

from ml_intern.store.connection import SqlValues

NUL = "\N{SYMBOL FOR NULL}"
"""Replaces the character U+0000, which PostgreSQL cannot store."""
_PIECE = re.compile(r"('(?:[^']|'')*')|(\?)|(?<![:\w]):([a-z_]\w*)|(%)")


@lru_cache(maxsize=512)
def translated(statement: str) -> str:
    """Return a statement with psycopg's placeholders instead of `?` and `:name`."""
    return _PIECE.sub(_piece, statement)


def _piece(found: re.Match[str]) -> str:
    literal, place, name, _ = found.groups()
    if literal:
        return literal.replace("%", "%%")
    if place:
        return "%s"
    return f"%({name})s" if name else "%%"


def adapted(values: SqlValues) -> SqlValues:
    """Return values with truth values as integers, as SQLite stores them, and without the character U+0000."""
    if isinstance(values, Mapping):
        return {name: _adapted(value) for name, value in values.items()}
    return [_adapted(value) for value in values]


def _adapted(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", NUL)
    return int(value) if isinstance(value, bool) else value


class TableConnection:
    """A psycopg connection with the interface of `SqlConnection`."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def execute(self, statement: str, values: SqlValues = (), /) -> "ResultRows":
        """Run a statement."""
        return ResultRows(self._connection.execute(translated(statement).encode(), adapted(values)))

    def executemany(self, statement: str, values: Iterable[SqlValues], /) -> "ResultRows":
        """Run a statement once for each element of `values`."""
        cursor = self._connection.cursor()
        cursor.executemany(translated(statement).encode(), [adapted(one) for one in values])
        return ResultRows(cursor)

    def perform(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement in psycopg's own form, once for each row of values."""
        cursor = self._connection.cursor()
        if len(rows) == 1:
            cursor.execute(statement.encode(), rows[0])
        else:
            cursor.executemany(statement.encode(), rows)


class ResultRows:
    """The result of a statement."""

    def __init__(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """Return the number of changed rows."""
        return self._cursor.rowcount

    def fetchone(self) -> Any:
        """Return the next row as a tuple, or None."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """Return the rows as tuples."""
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)
