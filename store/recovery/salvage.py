"""Read a damaged database: every row of every table, past pages that cannot be read."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

_PROBES = 50_000
"""The most ranges of a table that are tried; a table whose root is gone fails in all of them."""
_FURTHEST = 2**21
"""How far beyond the known rows the end of a table is looked for if its last page cannot be read."""
_TYPES: dict[str, tuple[type, ...]] = {
    "TEXT": (str,),
    "INTEGER": (int,),
    "REAL": (int, float),
    "BLOB": (bytes, str),
}
RowValues = tuple[object, ...]


@dataclass(frozen=True)
class SchemaTable:
    """A table of the schema."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    key: tuple[str, ...]
    """The columns that order it: those of its primary key, or "rowid"."""

    @property
    def has_rowids(self) -> bool:
        """Return whether rows are numbered."""
        return self.key == ("rowid",)

    def accepts(self, row: RowValues) -> bool:
        """Return whether every value has the type of its column. A damaged page may be read as other values."""
        return all(
            value is None or isinstance(value, _TYPES.get(type, (object,)))
            for value, type in zip(row, self.types, strict=True)
        )


@dataclass
class Salvaged:
    """The rows of a table, and whether some could not be read."""

    rows: list[RowValues]
    complete: bool


def tables_of(connection: sqlite3.Connection) -> list[SchemaTable]:
    """Return the tables of a sound database."""
    found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    return [_table(connection, name, sql) for name, sql in found]


def _table(connection: sqlite3.Connection, name: str, sql: str) -> SchemaTable:
    info = connection.execute(f"PRAGMA table_info({name})").fetchall()
    columns, types = tuple(row[1] for row in info), tuple(row[2].upper() for row in info)
    ordered = sorted((row[5], row[1]) for row in info if row[5])
    key = tuple(column for _, column in ordered) if "WITHOUT ROWID" in sql.upper() else ("rowid",)
    return SchemaTable(name, columns, types, key)


def salvage(connection: sqlite3.Connection, table: SchemaTable, beyond: int = 0) -> Salvaged:
    """Read what can be read of a table. `beyond` is a row number that it is known to reach."""
    if table.has_rowids:
        return _Numbered(connection, table).read(beyond)
    return _from_both_ends(connection, table)


class _Numbered:
    """Reads a table with row numbers by ranges, halving each one that cannot be read."""

    def __init__(self, connection: sqlite3.Connection, table: SchemaTable) -> None:
        self._connection = connection
        self._table = table
        self._query = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE rowid BETWEEN ? AND ?"  # noqa: S608  names of the schema
        self._probes = count()
        self._found = Salvaged([], True)

    def read(self, beyond: int) -> Salvaged:
        """Return the rows."""
        self._range(*self._ends(beyond))
        return self._found

    def _ends(self, beyond: int) -> tuple[int, int]:
        try:
            return self._end("min"), self._end("max")
        except sqlite3.Error:
            self._found.complete = False
            return 0, beyond + _FURTHEST

    def _end(self, which: str) -> int:
        query = f"SELECT {which}(rowid) FROM {self._table.name}"  # noqa: S608  names of the schema
        (end,) = self._connection.execute(query).fetchone()
        return end or 0

    def _range(self, first: int, last: int) -> None:
        try:
            rows = self._connection.execute(self._query, (first, last)).fetchall()
        except sqlite3.Error:
            self._found.complete = False
            if first < last and next(self._probes) < _PROBES:
                middle = (first + last) // 2
                self._range(first, middle)
                self._range(middle + 1, last)
            return
        sound = [row for row in rows if self._table.accepts(row)]
        self._found.complete = self._found.complete and len(sound) == len(rows)
        self._found.rows += sound


def _from_both_ends(connection: sqlite3.Connection, table: SchemaTable) -> Salvaged:
    """Read a table without row numbers from its beginning and, if that fails, from its end."""
    rows = list(_up_to_damage(connection, table, ""))
    complete = bool(rows) and rows[-1] is None
    found = [row for row in rows if row is not None]
    if not complete:
        found += [row for row in _up_to_damage(connection, table, " DESC") if row is not None]
    return Salvaged([row for row in found if table.accepts(row)], complete)


def _up_to_damage(connection: sqlite3.Connection, table: SchemaTable, direction: str) -> Iterator[RowValues | None]:
    """Yield rows in the order of the key, and None at the end of the table."""
    order = ", ".join(f"{column}{direction}" for column in table.key)
    try:
        yield from connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {order}")  # noqa: S608  names of the schema
    except sqlite3.Error:
        return
    yield None


def insert(connection: sqlite3.Connection, table: SchemaTable, rows: Sequence[RowValues]) -> None:
    """Add rows to a table, except those that exist or that the table does not accept."""
    marks = ", ".join("?" for _ in table.columns)
    statement = f"INSERT OR IGNORE INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"  # noqa: S608  names of the schema
    connection.executemany(statement, rows)
