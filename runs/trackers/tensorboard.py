"""The scalars in TensorBoard's event files: records with a length and two checksums, with protobuf events."""

import struct
from collections.abc import Iterator
from pathlib import Path

from ml_intern.runs.trackers.protobuf import fields, parts

_LENGTH_BYTES, _CHECKSUM = 8, 4
_STEP, _SUMMARY = 2, 5
_VALUE = 1
_TAG, _SIMPLE, _TENSOR = 1, 2, 8
_DTYPE, _CONTENT, _FLOAT, _DOUBLE = 1, 4, 5, 6
_FLOATS = (1, 2)
MAX_EVENT = 64 << 20


def scalars(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the step and the scalars of each event. Raises ValueError and OSError; a cut off event is the end."""
    with path.open("rb") as file:
        while len(header := file.read(_LENGTH_BYTES + _CHECKSUM)) == _LENGTH_BYTES + _CHECKSUM:
            size = int.from_bytes(header[:_LENGTH_BYTES], "little")
            if size > MAX_EVENT:
                raise ValueError(f"{path.name} is not an event file, or is damaged")
            if len(event := file.read(size)) < size or len(file.read(_CHECKSUM)) < _CHECKSUM:
                return
            step, found = _event(event)
            if found:
                yield step, found


def _event(event: bytes) -> tuple[int, dict[str, float]]:
    step, found = 0, {}
    for number, content in fields(event):
        if number == _STEP and isinstance(content, int):
            step = content
        elif number == _SUMMARY and isinstance(content, bytes):
            named = (_scalar(value) for value in parts(content, _VALUE))
            found.update({tag: scalar for tag, scalar in named if scalar is not None})
    return step, found


def _scalar(value: bytes) -> tuple[str, float | None]:
    """Return the tag of a value, and its number if it is a scalar."""
    tag, found = "", None
    for number, content in fields(value):
        if isinstance(content, int):
            continue
        if number == _TAG:
            tag = content.decode(errors="replace")
        elif number == _SIMPLE:
            found = _number(content)
        elif number == _TENSOR:
            found = _of_tensor(content)
    return tag, found


def _of_tensor(tensor: bytes) -> float | None:
    """Return the only number of a tensor of floats; None for other tensors."""
    kinds = dict(fields(tensor))
    numbers = [kinds[kind] for kind in (_CONTENT, _FLOAT, _DOUBLE) if kind in kinds]
    is_float = kinds.get(_DTYPE) in _FLOATS and len(numbers) == 1
    return _number(numbers[0]) if is_float and isinstance(numbers[0], bytes) else None


def _number(content: bytes) -> float | None:
    """Return a number of 4 or 8 bytes; None for several numbers, or a text."""
    if len(content) not in (4, 8):
        return None
    value: float = struct.unpack("<f" if len(content) == 4 else "<d", content)[0]
    return value
