"""Digests of files."""

import hashlib
from pathlib import Path

MAX_HASHED = 64 * 1024 * 1024
_SMALL = 64 * 1024


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's content; for a very large file its size and mtime, as make does. Raises OSError."""
    found = path.stat()
    if found.st_size > MAX_HASHED:
        return f"stat:{found.st_size}:{found.st_mtime_ns}"
    with path.open("rb", buffering=0) as file:
        if found.st_size <= _SMALL:  # file_digest() allocates 256 KiB for each file
            return hashlib.sha256(file.readall()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(path: Path) -> str:
    """Return the sha256 of a file's whole content, however large it is. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
