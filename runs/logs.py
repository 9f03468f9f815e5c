"""Reading a log that may be huge: its end, and its lines from an offset on. No call holds more than a few pieces."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ml_intern.execution.process.cleaning import clean

PIECE_BYTES = 1 << 16
MAX_LINE = 1 << 14
"""Bytes of a line that are looked at; the rest of a longer one is skipped."""
_WIDEST_CHARACTER = 4


@dataclass(frozen=True)
class Line:
    """A whole line without its newline, and the offset in bytes behind it."""

    text: str
    end: int


@dataclass(frozen=True)
class LogPart:
    """A part of a log: its text, and the offset in bytes at which the next part begins."""

    text: str
    next: int
    more: bool
    """Whether there may be another part behind it now."""


def tail(path: Path, characters: int, *, until: int | None = None) -> str:
    """The end of a log, from the beginning of a line where there is one; "" when there is no file.

    `until`: the offset in bytes that is taken for its end, as it may grow meanwhile.
    """
    if not path.exists():
        return ""
    size = path.stat().st_size if until is None else until
    start = max(size - characters * _WIDEST_CHARACTER, 0)
    text = clean(_read(path, start, size - start))[-characters:]
    first, newline, rest = text.partition("\n")
    cut = start > 0 or len(text) == characters
    return rest if cut and newline and len(first) < len(text) // 2 else text


def last_lines(path: Path, lines: int, characters: int, *, until: int | None = None) -> str:
    """The last lines of a log, of at most so many characters."""
    return "".join(tail(path, characters, until=until).splitlines(keepends=True)[-lines:])


def part(path: Path, offset: int, most_bytes: int, *, ended: bool = False) -> LogPart:
    """What stands behind an offset, up to the end of a line where one is near.

    A line that is still being written is left for later, unless it fills the part by itself or the log has `ended`.
    """
    size = path.stat().st_size if path.exists() else 0
    start = min(offset, size)
    with path.open("rb") if size else open(os.devnull, "rb") as file:  # noqa: PTH123  one name for both
        file.seek(start)
        data = file.read(most_bytes)
    whole = data.rfind(b"\n") + 1
    if (whole == 0 and start + len(data) < size) or (ended and start + len(data) == size):
        whole = len(data)
    kept = data[:whole]
    return LogPart(clean(kept.decode(errors="replace")), start + len(kept), bool(kept) and start + len(kept) < size)


def lines(path: Path, offset: int = 0, *, ended: bool = False) -> Iterator[Line]:
    """The whole lines behind an offset, each cut to MAX_LINE bytes, rewritten lines in their last form.

    When the log has `ended`, its last line is whole without a newline too.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        held, end = b"", offset
        while piece := file.read(PIECE_BYTES):
            *whole, rest = piece.split(b"\n")
            for one in whole:
                end += len(one) + 1
                yield Line(clean(_kept(held + one).decode(errors="replace")), end)
                held = b""
            end += len(rest)
            held = _kept(held + rest)
        if ended and held:
            yield Line(clean(held.decode(errors="replace")), end)


def _kept(line: bytes) -> bytes:
    """What is kept of a line: behind its last CR, and its first bytes."""
    return (line.rstrip(b"\r").rpartition(b"\r")[2] + line[len(line.rstrip(b"\r")) :])[:MAX_LINE]


def _read(path: Path, start: int, count: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(count).decode(errors="replace")
