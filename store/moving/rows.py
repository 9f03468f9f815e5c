"""Copies of a thread's rows between two databases: everything but the checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_intern.store.connection import SqlConnection
from ml_intern.store.store import Store

TABLES = (
    "journal", "runs", "experiments", "permissions", "queued_messages", "event_numbers", "evidence", "operations",
    "served_threads", "events", "threads",
)  # fmt: skip
"""The tables that are copied by thread. The row in `threads` is the last one: with it the copy is complete."""
ORDERS = {"runs": "created", "experiments": "created", "evidence": "created", "operations": "position"}
OF_DATABASE = {"permissions": ("id",)}
"""Columns whose values each database gives itself."""
_SAME_ENTRY = (
    "SELECT id, state FROM ledger WHERE thread_id = ? AND source = ? AND model = ? AND started = ? ORDER BY id"
)
RowValues = dict[str, Any]
TableRows = Mapping[str, Sequence[RowValues]]


@dataclass(frozen=True)
class ThreadRows:
    """The rows of a thread and its sub-agents by table, its costs, and the tainted files in its folder."""

    tables: TableRows
    ledger: Sequence[RowValues]
    tainted: Sequence[RowValues]

    @property
    def has_open_runs(self) -> bool:
        """Return whether a background run has not ended."""
        return any(run["state"] in ("queued", "running") for run in self.tables["runs"])


async def read_rows(store: Store, ids: Sequence[str], folder: str) -> ThreadRows:
    """Return the rows of a thread and its sub-agents. The first id is that of the thread, which has the folder."""

    def read(connection: SqlConnection) -> ThreadRows:
        def select(table: str, where: str, value: str, order: str = "1") -> Iterator[RowValues]:
            columns = _columns(connection, table, shared=store.is_shared)
            query = f"SELECT {', '.join(columns)} FROM {table} WHERE {where} ORDER BY {order}"  # noqa: S608  constants only
            for found in connection.execute(query, (value,)):
                yield dict(zip(columns, found, strict=True))

        tables: dict[str, list[RowValues]] = {}
        for table in TABLES:
            where, hidden = "id = ?" if table == "threads" else "thread_id = ?", OF_DATABASE.get(table, ())
            rows = [row for id in ids for row in select(table, where, id, ORDERS.get(table, "1"))]
            tables[table] = [{name: value for name, value in row.items() if name not in hidden} for row in rows]
        ledger = list(select("ledger", "root_id = ?", ids[0], "id"))
        prefix = folder.rstrip("/") + "/"
        tainted = list(select("tainted_files", "path >= ?", prefix, "path")) if folder else []
        return ThreadRows(tables, ledger, [row for row in tainted if row["path"].startswith(prefix)])

    return await store.database.read(read)


async def write_rows(store: Store, rows: ThreadRows) -> None:
    """Write the rows in one transaction. Costs that an earlier move left in the ledger are not doubled."""

    def write(connection: SqlConnection) -> None:
        numbers = _write_ledger(connection, rows.ledger)
        for row in rows.tainted:
            _insert(connection, "tainted_files", row, "ON CONFLICT DO NOTHING")
        for table in TABLES:
            for row in rows.tables[table]:
                numbered = {**row, "ledger_id": numbers.get(row["ledger_id"])} if table == "runs" else row
                _insert(connection, table, numbered, "ON CONFLICT DO NOTHING" if table == "permissions" else "")

    await store.database.write(write)


def same_rows(one: ThreadRows, other: ThreadRows) -> bool:
    """Return whether two databases have the same rows of a thread, except for the numbers that each gives itself."""
    return _comparable(one) == _comparable(other)


def _comparable(rows: ThreadRows) -> object:
    keys = {row["id"]: _ledger_key(row) for row in rows.ledger}
    runs = [{**run, "ledger_id": keys.get(run["ledger_id"])} for run in rows.tables["runs"]]
    tables = {**rows.tables, "runs": runs}
    ledger = [{name: value for name, value in row.items() if name != "id"} for row in rows.ledger]
    return {name: sorted(map(_text, found)) for name, found in tables.items()}, sorted(map(_text, ledger))


def _text(row: RowValues) -> str:
    """Return a row as a text. SQLite may give whole numbers without a point."""
    values = {name: float(value) if isinstance(value, int | float) else value for name, value in row.items()}
    return repr(sorted(values.items()))


def _write_ledger(connection: SqlConnection, rows: Sequence[RowValues]) -> dict[int | None, int]:
    """Add the rows of the ledger that it does not have, and settle those that were open. Return the new numbers."""
    numbers: dict[int | None, int] = {}
    used = set[int]()
    for row in rows:
        entry = {name: value for name, value in row.items() if name != "id"}
        key = _ledger_key(row)
        known = [one for one in connection.execute(_SAME_ENTRY, key).fetchall() if one[0] not in used]
        if not known:
            numbers[row["id"]] = _insert(connection, "ledger", entry, "RETURNING id").fetchone()[0]
        else:
            numbers[row["id"]] = known[0][0]
            if known[0][1] == "open":
                changes = ", ".join(f"{name} = ?" for name in entry)
                connection.execute(f"UPDATE ledger SET {changes} WHERE id = ?", (*entry.values(), known[0][0]))  # noqa: S608  constants only
        used.add(numbers[row["id"]])
    return numbers


def _ledger_key(row: RowValues) -> tuple[Any, ...]:
    return row["thread_id"], row["source"], row["model"], row["started"]


def _insert(connection: SqlConnection, table: str, row: RowValues, end: str) -> Any:
    names, places = ", ".join(row), ", ".join("?" for _ in row)
    return connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places}) {end}", tuple(row.values()))  # noqa: S608  constants only


def _columns(connection: SqlConnection, table: str, *, shared: bool) -> Sequence[str]:
    query = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'ml_intern' AND table_name = ? "
        "ORDER BY ordinal_position"
        if shared
        else "SELECT name FROM pragma_table_info(?)"
    )
    return [name for (name,) in connection.execute(query, (table,)) if name != "rowid"]
