"""Results of reads that are needed again and again, cached in memory until the table they came from changes."""

import sqlite3
from collections.abc import Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_WATCHED = {"permissions": "true", "runs": "true", "ledger": "true", "evidence": "{row}.kind = 'lock'"}
"""The tables whose changes are noticed, and the condition on a changed row."""
_EVENTS = {"INSERT": ("NEW",), "UPDATE": ("NEW", "OLD"), "DELETE": ("OLD",)}
"""The changes of a row, and its names before and after."""
_MAX_CACHED = 1000


class TableCache:
    """The cached results of one connection.

    Changes by this connection are noticed by temporary triggers, on its thread, before they are committed; changes by
    others with the next transaction of this connection.
    """

    def __init__(self) -> None:
        self._versions = dict.fromkeys(_WATCHED, 0)
        self._cached: dict[tuple[str, Hashable], tuple[int, Any]] = {}
        self._others: int | None = None

    def watch(self, connection: sqlite3.Connection) -> None:
        """Notice the changes that this connection makes."""
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.create_function("table_changed", 1, self._changed)
        for table, condition in _WATCHED.items():
            for event, rows in _EVENTS.items():
                when = " OR ".join(condition.format(row=row) for row in rows)
                connection.execute(
                    f"CREATE TEMP TRIGGER {table}_{event.lower()} AFTER {event} ON main.{table} WHEN {when} "
                    f"BEGIN SELECT table_changed('{table}'); END"
                )

    def notice_others(self, connection: sqlite3.Connection) -> None:
        """Drop everything if another connection has changed the database since the last time."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._others:
            self._others = version
            for table in _WATCHED:
                self._changed(table)

    def version(self, table: str) -> int:
        """Return a number that every change of a table increases."""
        return self._versions[table]

    def find(self, table: str, key: Hashable, default: T) -> Any | T:
        """Return a cached result, or `default` if there is none or the table has changed."""
        version, found = self._cached.get((table, key), (-1, None))
        return found if version == self._versions[table] else default

    def add(self, table: str, key: Hashable, version: int, result: Any) -> None:
        """Cache a result that was read at this version of the table."""
        if len(self._cached) >= _MAX_CACHED:
            self._cached.clear()
        self._cached[table, key] = version, result

    def _changed(self, table: str) -> None:
        self._versions[table] += 1
