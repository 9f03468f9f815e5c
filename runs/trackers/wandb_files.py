"""The history in the `.wandb` files that W&B writes: a log in the format of LevelDB, with protobuf records."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ml_intern.runs.trackers.protobuf import fields, parts

_MAGIC = b":W&B"
_FILE_HEADER, _BLOCK, _HEADER = 7, 1 << 15, 7
_FULL, _FIRST, _LAST = 1, 2, 4
_HISTORY = 2
_ITEM = 1
_KEY, _NESTED_KEY, _VALUE = 1, 2, 16
_STEP = "_step"


def history(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the step and the values of each row. Raises ValueError and OSError; a record that is cut off is the end."""
    with path.open("rb") as file:
        if file.read(_FILE_HEADER)[: len(_MAGIC)] != _MAGIC:
            raise ValueError(f"{path.name} is not a file of W&B")
        for record in _records(file):
            for row in parts(record, _HISTORY):
                values = dict(_item(item) for item in parts(row, _ITEM))
                step = values.pop(_STEP, 0)
                yield int(step), {name: value for name, value in values.items() if not name.startswith("_")}


def _records(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the records after the header of the file. A record may span blocks, whose last bytes are padding."""
    whole, at = b"", _FILE_HEADER
    while True:
        if (left := _BLOCK - at % _BLOCK) < _HEADER:
            file.read(left)
            at += left
        header = file.read(_HEADER)
        size, kind = int.from_bytes(header[4:6], "little"), header[6:7]
        part = file.read(size)
        if len(header) < _HEADER or len(part) < size:
            return
        at += _HEADER + size
        whole = part if kind[0] in (_FULL, _FIRST) else whole + part
        if kind[0] in (_FULL, _LAST):
            yield whole


def _item(item: bytes) -> tuple[str, Any]:
    """Return the name and the value of one number of a row."""
    names, value = [], b"null"
    for number, content in fields(item):
        if isinstance(content, bytes) and number in (_KEY, _NESTED_KEY) and content:
            names.append(content.decode(errors="replace"))
        elif isinstance(content, bytes) and number == _VALUE:
            value = content
    return ".".join(names), json.loads(value)
