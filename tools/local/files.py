"""Shared by the file tools: file checks, digests, which files the model has read, and atomic replacement."""

import contextlib
import difflib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.text.digests import file_digest

CHUNK_BYTES = 1 << 20
MAX_BYTES = 10_000_000


def stat_regular_file(path: Path, shown: str) -> os.stat_result:
    """Return the stat of a regular file. Reading a pipe or a device might never end.

    Raises:
        ToolError: the file is missing, a folder, not a regular file, or not accessible.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise ToolError(f"there is no file {shown}{_similar_names(path)}") from error
    except OSError as error:
        raise ToolError(f"cannot read {shown}: {error.strerror}") from error
    if stat.S_ISDIR(found.st_mode):
        raise ToolError(f"{shown} is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{shown} is not a regular file")
    return found


def _similar_names(path: Path) -> str:
    with contextlib.suppress(OSError):  # the folder is missing too, so there is nothing to suggest
        names = difflib.get_close_matches(path.name, [one.name for one in path.parent.iterdir()], n=3)
        return f"; similar names: {', '.join(names)}" if names else ""
    return ""


def read_bytes(path: Path, shown: str) -> bytes:
    """Return the content of a regular file of at most MAX_BYTES.

    Raises:
        ToolError: it is not such a file, too large, or not readable.
    """
    size = stat_regular_file(path, shown).st_size
    if size > MAX_BYTES:
        raise ToolError(f"{shown} is too large for this tool ({size:,} bytes); change it with a command or a script")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ToolError(f"cannot read {shown}: {error.strerror}") from error


def chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in chunks. Raises OSError."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def require_read(context: ToolContext, path: Path, shown: str) -> str:
    """Return the file's digest if the model has read its current content.

    Raises:
        ToolError: the file was not read in this thread, or it has changed since.
    """
    expected, present = context.file_reads.get(str(path)), file_digest(path)
    if expected is None:
        raise ToolError(f"{shown} exists but was not read in this thread; read it first")
    if expected != present:
        raise ToolError(f"{shown} has changed since it was read; read it again")
    return present


def replace(path: Path, content: bytes, shown: str, expected: str | None) -> str:
    """Replace a file atomically, keeping its mode and owner, or create it. Return its new digest.

    A reader sees the old or the new content, never a part. `expected` is the digest it must still have; None means that
    it must not exist.

    Raises:
        ToolError: another program changed it in the meantime, or it cannot be written.
    """
    temporary = path.with_name(f".{path.name[:50]}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_like(temporary, path, content)
        try:
            if (file_digest(path) if path.exists() else None) != expected:
                raise ToolError(f"{shown} was just changed by another program; read it again")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return file_digest(path)
    except OSError as error:
        raise ToolError(f"cannot write {shown}: {error.strerror}") from error


def _write_like(temporary: Path, path: Path, content: bytes) -> None:
    """Write `temporary` with the mode and owner of `path`, or those of a new file."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        if path.exists():
            old = path.stat()
            with contextlib.suppress(PermissionError):  # only root can change the owner
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
        file.write(content)
        file.flush()
        os.fsync(descriptor)
