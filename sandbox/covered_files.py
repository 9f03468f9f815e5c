"""Files of a workspace that hold secrets, as a command in the sandbox sees them: the same without the secrets."""

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


def covered_files(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Path and harmless content of each such file in these folders and in those right below them.

    Links are not followed: a command could have made one to a file that it must not see.
    """
    for root in roots:
        for path in _project_secrets(root):
            content = _read(path)
            harmless = without_secrets(content, posixpath.basename(path))
            if harmless != content:
                yield path, harmless.decode()


def _read(path: str) -> bytes:
    """The beginning of a file that no link leads to; nothing when it cannot be read."""
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


def without_secrets(content: bytes, name: str) -> bytes:
    """The content with secrets left out: lines of a .env, what redaction knows; nothing of what is no text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return b""
    return redact(_LINE.sub(_kept, text) if name.startswith(".env") else text).encode()


def _kept(line: re.Match[str]) -> str:
    # An empty value would still be taken for a credential.
    return f"# {line[2]} stays outside the sandbox" if is_secret_name(line[2]) else line[0]


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
