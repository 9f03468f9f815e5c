"""Read a log that may be huge: its end, or its lines from an offset, in little memory. Append to the copy of one."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ml_intern.configs.errors import TemporaryError
from ml_intern.configs.paths import private_folder
from ml_intern.execution.output import private_opener
from ml_intern.execution.process.cleaning import clean

PIECE_BYTES = 1 << 16
MAX_LINE = 1 << 14
"""Maximum bytes read of a line. The rest is skipped."""
_WIDEST_CHARACTER = 4


@dataclass(frozen=True)
class Line:
    """A complete line without its newline, and the byte offset after it."""

    text: str
    end: int


@dataclass(frozen=True)
class LogPart:
    """A part of a log: its text, and the byte offset of the next part."""

    text: str
    next: int
    more: bool
    """Whether another part may already follow."""


def tail(path: Path, characters: int, *, until: int | None = None) -> str:
    """Return the end of a log, starting at a line where possible; "" when there is no file.

    `until` is the byte offset to read up to, since the log may be growing.
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
    """Return the last lines of a log, at most `characters` characters."""
    return "".join(tail(path, characters, until=until).splitlines(keepends=True)[-lines:])


def part(path: Path, offset: int, most_bytes: int, *, ended: bool = False) -> LogPart:
    """Return the text after an offset, ending with a complete line where possible.

    An incomplete last line is left for the next part, unless it fills the part or the log has `ended`.
    """
    size = path.stat().st_size if path.exists() else 0
    start = min(offset, size)
    with path.open("rb") if size else open(os.devnull, "rb") as file:  # noqa: PTH123  one name for both cases
        file.seek(start)
        data = file.read(most_bytes)
    whole = data.rfind(b"\n") + 1
    if (whole == 0 and start + len(data) < size) or (ended and start + len(data) == size):
        whole = len(data)
    kept = data[:whole]
    return LogPart(clean(kept.decode(errors="replace")), start + len(kept), bool(kept) and start + len(kept) < size)


def lines(path: Path, offset: int = 0, *, ended: bool = False) -> Iterator[Line]:
    """Yield the complete lines after an offset, cut to MAX_LINE bytes. Of a rewritten line, yield its last version.

    When the log has `ended`, its last line is complete even without a newline.
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
    """Return the text after the last CR of a line, cut to MAX_LINE bytes."""
    return (line.rstrip(b"\r").rpartition(b"\r")[2] + line[len(line.rstrip(b"\r")) :])[:MAX_LINE]


def _read(path: Path, start: int, count: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(count).decode(errors="replace")


def append_output(log: Path, output: bytes, at: int | None = None) -> int:
    """Append output of a remote run to its log, and return the new length in bytes. Raises TemporaryError.

    Nothing is appended if the length is not `at`: another poll, perhaps of another process, has copied this output.
    """
    try:
        private_folder(log.parent)
        with open(log, "ab", opener=private_opener) as copy:
            fcntl.flock(copy, fcntl.LOCK_EX)
            if at is None or copy.seek(0, os.SEEK_END) == at:
                copy.write(output)
            return copy.seek(0, os.SEEK_END)
    except OSError as error:
        raise TemporaryError(f"the log of the run cannot be written: {error.strerror}", "free disk space") from error
