"""Redacted contents of workspace files with secrets, shown to sandboxed commands instead of the originals."""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator

from ml_intern.safety.secrets.known import is_secret_name
from ml_intern.safety.secrets.redaction import redact
from ml_intern.safety.shell.paths import is_project_secret

_MAX_BYTES = 256 * 1024
_MAX_FOLDERS = 200
_LINE = re.compile(r"(?m)^([ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=).*$")


def find_redacted_files(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield path and redacted content of each file with secrets in these folders and their direct subfolders.

    Links are not followed, because a command could have created one to a file that it must not see.
    """
    for root in roots:
        for path in _project_secrets(root):
            content = _read(path)
            redacted = redact_content(content, posixpath.basename(path))
            if redacted != content:
                yield path, redacted.decode()


def _read(path: str) -> bytes:
    """Return the beginning of a file without following links; b"" if it cannot be read."""
    try:
        folder = os.open(posixpath.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            file = os.open(posixpath.basename(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        with os.fdopen(file, "rb") as opened:
            return opened.read(_MAX_BYTES)
    except OSError:
        return b""


def redact_content(content: bytes, name: str) -> bytes:
    """Return the content without secrets: lines of .env files and known secret formats. Binary files become empty."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return b""
    return redact(_LINE.sub(_redact_line, text) if name.startswith(".env") else text).encode()


def _redact_line(line: re.Match[str]) -> str:
    # An assignment of an empty value would still be read as a credential.
    return f"# {line[2]} is not available in the sandbox" if is_secret_name(line[2]) else line[0]


def _project_secrets(root: str) -> Iterator[str]:
    folders = 0
    for entry in _entries(root):
        if entry.is_file(follow_symlinks=False) and is_project_secret(entry.path):
            yield entry.path
        elif entry.is_dir(follow_symlinks=False) and folders < _MAX_FOLDERS and entry.name not in {".git", ".venv"}:
            folders += 1
            inner = (one for one in _entries(entry.path) if one.is_file(follow_symlinks=False))
            yield from (one.path for one in inner if is_project_secret(one.path))


def _entries(folder: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []
