"""Digests of files."""

import hashlib
import os
from pathlib import Path

MAX_HASHED = 64 * 1024 * 1024
_SMALL = 64 * 1024


def file_digest(path: Path | str) -> str:
    """Return the sha256 of a file's content; for a very large file its size and mtime, as make does. Raises OSError."""
    found = os.stat(path)  # noqa: PTH116  called for every file that a command wrote
    if found.st_size > MAX_HASHED:
        return f"stat:{found.st_size}:{found.st_mtime_ns}"
    if found.st_size > _SMALL:
        return content_digest(Path(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return hashlib.sha256(os.read(descriptor, _SMALL)).hexdigest()
    finally:
        os.close(descriptor)


def content_digest(path: Path) -> str:
    """Return the sha256 of a file's whole content, however large it is. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
