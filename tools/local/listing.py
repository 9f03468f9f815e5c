"""Numbered lines from a text file, read without loading the whole file."""

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
# Shown as escapes: control characters other than tab, direction marks, and invisible characters.
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
    b"\xff\xfe": "UTF-16 text; convert it with iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16 text; convert it with iconv -f UTF-16 -t UTF-8",
}


@dataclass(frozen=True)
class Listing:
    """Numbered lines from `first` to `last` of `total`; `notes` describes line endings and encoding."""

    text: str
    first: int
    last: int
    total: int
    notes: tuple[str, ...] = ()


def binary_kind(path: Path) -> str | None:
    """Return the kind of a binary file, or None for text. Raises OSError."""
    with path.open("rb") as file:
        return detect_binary(file.read(8_192))


def detect_binary(start: bytes) -> str | None:
    """Return the kind of a binary file from its first bytes, or None for text."""
    known = next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)
    return known or ("unknown binary data" if b"\0" in start else None)


def count_lines(path: Path) -> int:
    """Return the number of lines, including an unfinished last one. Raises OSError."""
    newlines, last = 0, b"\n"
    for chunk in chunks(path):
        newlines += chunk.count(b"\n")
        last = chunk[-1:]
    return newlines + (last != b"\n")


def listing(path: Path, first: int, limit: int, total: int) -> Listing:
    """Return up to `limit` numbered lines of a file with `total`, from line `first`, within LISTING_CHARACTERS."""
    entries, size, notes = list[str](), 0, set[str]()
    with path.open("rb") as file:
        file.seek(_line_offset(path, first))
        for number, (raw, cut) in zip(range(first, first + limit), _long_lines(file), strict=False):
            entry = f"{number:>6}\t{_render(raw, cut, notes)}"
            size += len(entry) + 1
            if size > LISTING_CHARACTERS and entries:
                break
            entries.append(entry)
    return Listing("\n".join(entries), first, first + len(entries) - 1, total, tuple(sorted(notes)))


def _line_offset(path: Path, line: int) -> int:
    """Return the byte offset of a line."""
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
    """Yield each line, cut when it is long, and how many of its bytes were left out."""
    while line := file.readline(_LINE_BYTES):
        left_out, end = 0, line[-1:]
        while end != b"\n" and (more := file.readline(CHUNK_BYTES)):
            left_out, end = left_out + len(more.removesuffix(b"\n")), more[-1:]
        yield line, left_out


def _render(raw: bytes, left_out: int, notes: set[str]) -> str:
    body = raw.removesuffix(b"\n")
    if body.endswith(b"\r"):
        notes.add("lines end in CRLF")
        body = body.removesuffix(b"\r")
    text = body.decode("utf-8", "replace")
    if not left_out and "\ufffd" in text and b"\xef\xbf\xbd" not in body:
        notes.add("not valid UTF-8: \ufffd replaces the invalid bytes")
    shown = text[:LINE_CHARACTERS]
    more = len(body) + left_out - len(shown.encode()) if left_out or len(text) > len(shown) else 0
    visible_text = _HIDDEN.sub(lambda hidden: visible(hidden.group()), shown)
    return f"{visible_text} [... {more:,} more bytes]" if more else visible_text
