"""The pages of a database file that hold the names and places of its tables, taken from a file that has the same ones.

The format is that of https://www.sqlite.org/fileformat.html.
"""

from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"SQLite format 3\x00"
_HEADER = 100
_COOKIE = slice(40, 44)
"""The schema cookie, which every change of the schema and every VACUUM changes."""
_PAGE_SIZE = slice(16, 18)
_INTERIOR, _LEAF = 5, 13
_MAX_PAGES = 1_000


def take_schema(path: Path, donor: Path) -> bool:
    """Overwrite the pages with the schema by those of `donor`. Return False if its tables may be in other places."""
    with path.open("r+b") as file, donor.open("rb") as source:
        head, other = file.read(_HEADER), source.read(_HEADER)
        same = all(head[part] == other[part] for part in (slice(0, 16), _PAGE_SIZE, _COOKIE))
        if not same or not head.startswith(_MAGIC) or len(head) < _HEADER:
            return False
        source.seek(0)
        content = source.read()
        size = int.from_bytes(head[_PAGE_SIZE], "big")
        for number in _schema_pages(content, size):
            start = (number - 1) * size + (_HEADER if number == 1 else 0)
            file.seek(start)
            file.write(content[start : number * size])
    return True


def _schema_pages(content: bytes, size: int) -> Iterator[int]:
    """Yield the numbers of the pages of a sound database's first table, which describes the others."""
    waiting, count = [1], 0
    while waiting and count < _MAX_PAGES:
        number, count = waiting.pop(), count + 1
        yield number
        page = content[(number - 1) * size : number * size]
        start = _HEADER if number == 1 else 0
        if page[start] == _INTERIOR:
            waiting += [_number(page, start + 8), *(_number(page, place) for place in _cells(page, start, start + 12))]
        elif page[start] == _LEAF:
            for place in _cells(page, start, start + 8):
                yield from _overflow(page, place, content, size)


def _cells(page: bytes, start: int, pointers: int) -> list[int]:
    """Return where the cells of a page are."""
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    return [int.from_bytes(page[place : place + 2], "big") for place in range(pointers, pointers + 2 * count, 2)]


def _number(page: bytes, place: int) -> int:
    return int.from_bytes(page[place : place + 4], "big")


def _overflow(page: bytes, place: int, content: bytes, size: int) -> Iterator[int]:
    """Yield the pages with the rest of a cell that does not fit its page."""
    payload, place = _varint(page, place)
    _, place = _varint(page, place)
    most, least = size - 35, (size - 12) * 32 // 255 - 23
    if payload <= most:
        return
    local = least + (payload - least) % (size - 4)
    number, count = _number(page, place + (local if local <= most else least)), 0
    while number and count < _MAX_PAGES:
        yield number
        number, count = _number(content, (number - 1) * size), count + 1


def _varint(page: bytes, place: int) -> tuple[int, int]:
    value = 0
    for byte in page[place : place + 8]:
        value, place = value << 7 | byte & 0x7F, place + 1
        if byte < 0x80:
            return value, place
    return value << 8 | page[place], place + 1
