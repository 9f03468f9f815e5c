"""The fields of a serialised protobuf message, without its schema."""

from collections.abc import Iterator

Field = tuple[int, int | bytes]
"""The number of a field and its value: a varint as int, everything else as its bytes."""

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[Field]:
    """Yield the fields of a message in their order. Raises ValueError for one that is cut off or not protobuf."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _LENGTH:
            size, at = _varint(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if at + size > len(message):
            raise ValueError("a field is cut off")
        yield number, message[at : at + size]
        at += size


def parts(message: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the values of one field that are messages, texts or numbers of fixed width. Raises ValueError."""
    return (value for number, value in fields(message) if number == wanted and isinstance(value, bytes))


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number is cut off")
        byte = message[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
