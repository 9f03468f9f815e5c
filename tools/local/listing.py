"""A part of a text file as numbered lines, found without ever holding the file in memory."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ml_intern.text.visible import visible
from ml_intern.tools.local.files import CHUNK_BYTES, chunks

LINE_CHARACTERS = 2_000
LISTING_CHARACTERS = 18_000
_LINE_BYTES = LINE_CHARACTERS * 4
# Controls other than tab, and the marks that turn the reading direction or cannot be seen at all: shown as escapes.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive (or docx, xlsx, PyTorch weights, npz)",
    b"\x1f\x8b": "gzip data",
    b"PAR1": "a parquet file",
    b"GGUF": "GGUF weights",
    b"\x93NUMPY": "a numpy array",
    b"\x7fELF": "an ELF program",
    b"SQLite format 3": "an SQLite database",
    b"\xff\xfe": "UTF-16 text; make it readable with iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16 text; make it readable with iconv -f UTF-16 -t UTF-8",
}


@dataclass(frozen=True)
class Listing:
    """Numbered lines from `first` to `last` of `total`; `notes` say what the lines themselves do not show."""

    text: str
    first: int
    last: int
    total: int
    notes: tuple[str, ...] = ()


def binary_kind(path: Path) -> str | None:
    """What kind of binary file it is; None for text. Raises OSError."""
    with path.open("rb") as file:
        return kind_of(file.read(8_192))


def kind_of(start: bytes) -> str | None:
    """What kind of binary file begins so; None for text."""
    named = next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)
    return named or ("unknown binary data" if b"\0" in start else None)


def count_lines(path: Path) -> int:
    """The number of lines, an unfinished last one too. Raises OSError."""
    newlines, last = 0, b"\n"
    for chunk in chunks(path):
        newlines += chunk.count(b"\n")
        last = chunk[-1:]
    return newlines + (last != b"\n")


def listing(path: Path, first: int, limit: int, total: int) -> Listing:
    """Up to `limit` numbered lines of a file that has `total`, from line `first`, within LISTING_CHARACTERS."""
    taken, size, notes = list[str](), 0, set[str]()
    with path.open("rb") as file:
        file.seek(_start_of(path, first))
        for number, (raw, cut) in zip(range(first, first + limit), _long_lines(file), strict=False):
            entry = f"{number:>6}\t{_shown(raw, cut, notes)}"
            size += len(entry) + 1
            if size > LISTING_CHARACTERS and taken:
                break
            taken.append(entry)
    return Listing("\n".join(taken), first, first + len(taken) - 1, total, tuple(sorted(notes)))


def _start_of(path: Path, line: int) -> int:
    """Where a line begins, in bytes."""
    missing, position = line - 1, 0
    for chunk in chunks(path):
        found = chunk.count(b"\n")
        if found >= missing:
            at = -1
            for _ in range(missing):
                at = chunk.index(b"\n", at + 1)
            return position + at + 1
        missing -= found
        position += len(chunk)
    return position


def _long_lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Each line, the start of it when it is long, and how many of its bytes were left out."""
    while line := file.readline(_LINE_BYTES):
        left_out, end = 0, line[-1:]
        while end != b"\n" and (more := file.readline(CHUNK_BYTES)):
            left_out, end = left_out + len(more.removesuffix(b"\n")), more[-1:]
        yield line, left_out


def _shown(raw: bytes, left_out: int, notes: set[str]) -> str:
    body = raw.removesuffix(b"\n")
    if body.endswith(b"\r"):
        notes.add("lines end in CRLF")
        body = body.removesuffix(b"\r")
    text = body.decode("utf-8", "replace")
    if not left_out and "\ufffd" in text and b"\xef\xbf\xbd" not in body:
        notes.add("not valid UTF-8: \ufffd stands for the other bytes")
    kept = text[:LINE_CHARACTERS]
    more = len(body) + left_out - len(kept.encode()) if left_out or len(text) > len(kept) else 0
    visible_text = _HIDDEN.sub(lambda hidden: visible(hidden.group()), kept)
    return f"{visible_text} [... {more:,} more bytes]" if more else visible_text
