"""Files of a workspace that hold secrets, as a command in the sandbox sees them: the same without the secrets."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from safety.held import is_secret_name
from safety.redaction import admit
from safety.shell_paths import is_project_secret

_MOST_BYTES = 256 * 1024
_MOST_FOLDERS = 200
_LINE = re.compile(r"(?m)^([ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=).*$")


def covered_files(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Path and harmless content of each such file in these folders and in those right below them."""
    for root in roots:
        for path in _project_secrets(root):
            with suppress(OSError):  # gone meanwhile, or not ours to read: not theirs either
                content = path.read_bytes()[:_MOST_BYTES]
                harmless = without_secrets(content, path.name)
                if harmless != content:
                    yield os.path.realpath(path), harmless.decode()


def without_secrets(content: bytes, name: str) -> bytes:
    """The content with secrets left out: lines of a .env, what redaction knows; nothing of what is no text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return b""
    return admit(_LINE.sub(_kept, text) if name.startswith(".env") else text).encode()


def _kept(line: re.Match[str]) -> str:
    # An empty value would still be taken for a credential.
    return f"# {line[2]} stays outside the sandbox" if is_secret_name(line[2]) else line[0]


def _project_secrets(root: str) -> Iterator[Path]:
    folders = 0
    for entry in _entries(root):
        if is_project_secret(entry.path) and entry.is_file():
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False) and folders < _MOST_FOLDERS and entry.name not in {".git", ".venv"}:
            folders += 1
            yield from (Path(one.path) for one in _entries(entry.path) if is_project_secret(one.path) and one.is_file())


def _entries(folder: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []
