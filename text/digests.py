"""Digests of files."""

import hashlib
from pathlib import Path

MAX_HASHED = 64 * 1024 * 1024


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's content; for a very large file its size and mtime, as make does. Raises OSError."""
    found = path.stat()
    if found.st_size > MAX_HASHED:
        return f"stat:{found.st_size}:{found.st_mtime_ns}"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
