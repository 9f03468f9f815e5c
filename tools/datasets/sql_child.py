"""Run one DuckDB query over parquet files, in a child process: importing DuckDB blocks every thread, and the files
are untrusted.

Reads one JSON object from stdin: files (paths by split), sql, limit. Writes one JSON object: text or error.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

MEMORY = "2GB"
_CELL = 300


def answer(files: Mapping[str, Sequence[str]], sql: str, limit: int) -> dict[str, str]:
    """Return at most `limit` rows as text, or the error in the query."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": 2, "memory_limit": MEMORY})
    try:
        _open_files(connection, files)
        statements = connection.extract_statements(sql)
        if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
            return {"error": "the query must be a single SELECT statement"}
        found = connection.execute(statements[0])
        return {"text": _table([str(one[0]) for one in found.description], found.fetchmany(limit + 1), limit)}
    except duckdb.Error as error:
        message = " ".join(str(error).split())[:500]
        return {"error": f"the query failed: {message}; the tables are {', '.join(files)}"}
    finally:
        connection.close()


def _open_files(connection: Any, files: Mapping[str, Sequence[str]]) -> None:
    """Create a view for each split, and lock the connection against all other files and the network."""
    connection.execute("SET allowed_paths = ?", [[path for paths in files.values() for path in paths]])
    for setting in ("enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")
    for split, paths in files.items():
        connection.from_parquet(list(paths)).create_view(split.replace('"', '""'))


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], limit: int) -> str:
    lines = [" | ".join(columns), *(" | ".join(map(_cell, row)) for row in rows[:limit])]
    more = [f"[only the first {limit:,} rows are shown]"] if len(rows) > limit else []
    return "\n".join([*lines, *more])


def _cell(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _CELL else f"{text[:_CELL]}…"


def main() -> None:
    """Read stdin and write the JSON object."""
    # ASCII with escapes: a lone surrogate in a cell must not break the output.
    sys.stdout.write(json.dumps(answer(**json.load(sys.stdin))))


if __name__ == "__main__":
    main()
