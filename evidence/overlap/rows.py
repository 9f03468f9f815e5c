"""Rows of tables and texts, read one at a time: CSV, TSV, JSON lines, plain text, and Parquet with pyarrow."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TextIO

TableRow = tuple[str, ...]
TABLES: Final = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".txt", ".parquet"})
_FIRST_ROWS: Final = 200
_FIELD_LIMIT: Final = 10_000_000


class NotReadableError(Exception):
    """The file is not a table or text that can be read here. Its text says why."""


@dataclass(frozen=True)
class DataFile:
    """A file of rows: its columns, and how to read it. Columns without names are numbered from 1."""

    path: Path
    columns: tuple[str, ...]
    delimiter: str = ","
    has_header: bool = False

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows in order, each with as many cells as the file gives it. Raises NotReadableError."""
        try:
            yield from _READERS[self.path.suffix.lower()](self)
        except (OSError, ValueError, csv.Error) as error:
            raise NotReadableError(f"{self.path.name}: {' '.join(str(error).split())}") from None


def open_data(path: Path) -> DataFile:
    """Look at the first rows of a file and return how to read it. Raises NotReadableError."""
    suffix = path.suffix.lower()
    if suffix not in TABLES:
        raise NotReadableError(f"{path.name}: files of this kind are not checked")
    try:
        return _inspected(path, suffix)
    except (OSError, ValueError, csv.Error, StopIteration) as error:
        raise NotReadableError(f"{path.name}: {' '.join(str(error).split()) or 'empty'}") from None


def _inspected(path: Path, suffix: str) -> DataFile:
    if suffix == ".parquet":
        return DataFile(path, _parquet_columns(path))
    if suffix in (".jsonl", ".ndjson"):
        with path.open(encoding="utf-8", errors="replace") as file:
            first = json.loads(next(line for line in file if line.strip()))
        return DataFile(path, tuple(first) if isinstance(first, dict) else ("value",))
    if suffix == ".txt":
        return DataFile(path, ("text",))
    return _delimited(path, "\t" if suffix == ".tsv" else "")


def _delimited(path: Path, delimiter: str) -> DataFile:
    with _text(path) as file:
        lines = [next(file), *islice(file, _FIRST_ROWS)]
    found = delimiter or max(",;\t|", key=lambda one: min((line.count(one) for line in lines[:20]), default=0))
    rows = list(csv.reader(lines, delimiter=found))
    first, rest = rows[0], rows[1:]
    has_header = not any(is_number(cell) for cell in first) and (len(set(first)) == len(first) or not rest)
    names = first if has_header else [str(at + 1) for at in range(len(first))]
    return DataFile(path, tuple(names), found, has_header)


def is_number(text: str) -> bool:
    """Return whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(path: Path) -> TextIO:
    csv.field_size_limit(_FIELD_LIMIT)
    return path.open(encoding="utf-8", errors="replace", newline="")


def _delimited_rows(data: DataFile) -> Iterator[TableRow]:
    with _text(data.path) as file:
        reader = csv.reader(file, delimiter=data.delimiter)
        if data.has_header:
            next(reader, None)
        yield from (tuple(row) for row in reader if row)


def _json_rows(data: DataFile) -> Iterator[TableRow]:
    with data.path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.strip():
                value = json.loads(line)
                cells = [value.get(name, "") for name in data.columns] if isinstance(value, dict) else [value]
                yield tuple(cell if isinstance(cell, str) else json.dumps(cell) for cell in cells)


def _text_rows(data: DataFile) -> Iterator[TableRow]:
    with data.path.open(encoding="utf-8", errors="replace") as file:
        yield from ((line.strip(),) for line in file if line.strip())


def _parquet_columns(path: Path) -> tuple[str, ...]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise NotReadableError(f"{path.name}: not checked, Parquet needs pyarrow") from None
    return tuple(parquet.read_schema(path).names)


def _parquet_rows(data: DataFile) -> Iterator[TableRow]:
    from pyarrow import parquet

    for batch in parquet.ParquetFile(data.path).iter_batches(batch_size=10_000):
        columns = [column.to_pylist() for column in batch.columns]
        yield from (tuple(map(str, row)) for row in zip(*columns, strict=True))


_READERS: Final = {
    ".csv": _delimited_rows,
    ".tsv": _delimited_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".txt": _text_rows,
    ".parquet": _parquet_rows,
}
