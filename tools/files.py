"""What the file tools share: reading with its digest, replacing a file whole, and the diff that a result shows."""

import contextlib
import difflib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from tools.base import ToolContext, ToolFault

MOST_BYTES = 10_000_000
DIFF_LINES = 200


def digest(content: bytes) -> str:
    """sha256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def load(path: Path, shown: str) -> bytes:
    """The content of a regular file of at most MOST_BYTES.

    Raises:
        ToolFault: it is missing, no regular file, too large, or may not be read.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ToolFault(f"{shown} is a folder; list it with bash: ls")
        if not stat.S_ISREG(found.st_mode):
            raise ToolFault(f"{shown} is no regular file")
        if found.st_size > MOST_BYTES:
            raise ToolFault(f"{shown} has {found.st_size:,} bytes; look at parts of it with bash: head, tail, sed, rg")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ToolFault(f"there is no file {shown}{_nearest(path)}") from error
    except OSError as error:
        raise ToolFault(f"cannot read {shown}: {error.strerror}") from error


def _nearest(path: Path) -> str:
    with contextlib.suppress(OSError):  # the folder is missing too: there is nothing to suggest
        names = difflib.get_close_matches(path.name, os.listdir(path.parent), n=3)
        return f"; near it are {', '.join(names)}" if names else ""
    return ""


def mark_seen(context: ToolContext, path: Path, content: bytes) -> None:
    """Remember that the model knows this content."""
    context.services.file_reads.setdefault(context.thread_id, {})[str(path)] = digest(content)


def require_seen(context: ToolContext, path: Path, content: bytes, shown: str) -> None:
    """Refuse to change what the model has not seen as it is now.

    Raises:
        ToolFault: the file was not read in this session, or changed since.
    """
    known = context.services.file_reads.get(context.thread_id, {}).get(str(path))
    if known is None:
        raise ToolFault(f"{shown} exists and was not read in this session; read it first")
    if known != digest(content):
        raise ToolFault(f"{shown} changed since it was read; read it again")


def replace(path: Path, content: bytes, shown: str) -> None:
    """Replace or create the file in one step, keeping its mode bits; a reader sees the old or the new, never half.

    Raises:
        ToolFault: the system refused.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ToolFault(f"cannot write {shown}: {error.strerror}") from error


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


def diff(before: str, after: str, name: str) -> str:
    """A unified diff, shortened when it is long."""
    lines = list(
        difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{name}", f"b/{name}", lineterm="", n=2)
    )
    cut = [f"... {len(lines) - DIFF_LINES} more lines"] if len(lines) > DIFF_LINES else []
    return "\n".join([*lines[:DIFF_LINES], *cut])
