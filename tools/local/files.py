"""What the file tools share: what a file is, its digest, what the model has seen of it, and replacing it whole."""

import contextlib
import difflib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext

CHUNK_BYTES = 1 << 20
MAX_BYTES = 10_000_000
MAX_HASHED = 64 * 1024 * 1024


def regular(path: Path, shown: str) -> os.stat_result:
    """The stat of a regular file: a pipe or a device would never end.

    Raises:
        ToolError: it is missing, a folder, no regular file, or may not be looked at.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise ToolError(f"there is no file {shown}{_nearest(path)}") from error
    except OSError as error:
        raise ToolError(f"cannot read {shown}: {error.strerror}") from error
    if stat.S_ISDIR(found.st_mode):
        raise ToolError(f"{shown} is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{shown} is no regular file")
    return found


def _nearest(path: Path) -> str:
    with contextlib.suppress(OSError):  # the folder is missing too: there is nothing to suggest
        names = difflib.get_close_matches(path.name, [one.name for one in path.parent.iterdir()], n=3)
        return f"; near it are {', '.join(names)}" if names else ""
    return ""


def load(path: Path, shown: str) -> bytes:
    """The content of a regular file of at most MAX_BYTES.

    Raises:
        ToolError: it is no such file, too large, or may not be read.
    """
    size = regular(path, shown).st_size
    if size > MAX_BYTES:
        raise ToolError(f"{shown} has {size:,} bytes, too many for this tool; change it with a command or a script")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ToolError(f"cannot read {shown}: {error.strerror}") from error


def chunks(path: Path) -> Iterator[bytes]:
    """The content of a file, a piece at a time. Raises OSError."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def digest_of(path: Path) -> str:
    """sha256 of a file's content; for a very large file its size and time of change, as make does. Raises OSError."""
    found = path.stat()
    if found.st_size > MAX_HASHED:
        return f"stat:{found.st_size}:{found.st_mtime_ns}"
    sha = hashlib.sha256()
    for chunk in chunks(path):
        sha.update(chunk)
    return sha.hexdigest()


def mark_seen(context: ToolContext, path: Path, digest: str) -> None:
    """Remember that the model knows the file with this digest."""
    context.scope.file_reads[str(path)] = digest


def require_seen(context: ToolContext, path: Path, shown: str) -> str:
    """Refuse to change what the model has not seen as it is now; the digest of what it is.

    Raises:
        ToolError: the file was not read in this session, or changed since.
    """
    known, present = context.scope.file_reads.get(str(path)), digest_of(path)
    if known is None:
        raise ToolError(f"{shown} exists and was not read in this session; read it first")
    if known != present:
        raise ToolError(f"{shown} changed since it was read; read it again")
    return present


def replace(path: Path, content: bytes, shown: str, known: str | None) -> str:
    """Replace a file in one step, keeping its mode and owner, or create it; the digest of what it is now.

    A reader sees the old or the new content, never half. `known` is the digest it must still have; None: it must not
    exist.

    Raises:
        ToolError: somebody else changed it meanwhile, or the system refused.
    """
    fresh = path.with_name(f".{path.name[:50]}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_like(fresh, path, content)
        try:
            if (digest_of(path) if path.exists() else None) != known:
                raise ToolError(f"{shown} was changed by somebody else just now; read it again")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        return digest_of(path)
    except OSError as error:
        raise ToolError(f"cannot write {shown}: {error.strerror}") from error


def _write_like(fresh: Path, path: Path, content: bytes) -> None:
    """Write `fresh` with the mode and owner that `path` has, or those of any new file."""
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        if path.exists():
            old = path.stat()
            with contextlib.suppress(PermissionError):  # only root may give a file away
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
        file.write(content)
        file.flush()
        os.fsync(descriptor)
