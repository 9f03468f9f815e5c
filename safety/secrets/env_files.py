"""The secrets in the .env files of the user's folders, so that their values are redacted wherever they appear."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from ml_intern.safety.secrets.known import environment_secrets
from ml_intern.safety.secrets.redaction import add_known_secrets

_NAME = re.compile(r"(?:\.env(?:\.(?!example|sample|template|dist)[^/]*)?|[\w.-]+\.env)\Z")
_LINE = re.compile(r"(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*=[ \t]*(.*?)[ \t]*\r?$")
_SECRET_NAME = re.compile(
    r"(?i)(?:^|[_.])(?:(?:token|key|pass|pwd|pat|auth|dsn|salt|cookie|webhook|signature|apikey)(?:[_.]?\d+)?\Z|"
    r"(?:secret|password|passwd|passphrase|credentials?|private|(?:api|access)_?key)(?:[_.\d]|\Z))"
)
_RANDOM = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_+=-]{24,}\Z")
_PLACE = re.compile(r"[./~]{0,2}/|\w+://(?![^/@]*@)")
_SKIPPED = frozenset({".git", ".venv", "venv", "node_modules", "__pycache__", "site-packages"})
_MAX_BYTES = 256 * 1024
_MAX_FOLDERS = 200
_MAX_DEPTH = 2


def register_env_files(roots: Iterable[str]) -> None:
    """Redact the secrets in the .env files of these folders and their subfolders from now on. It never raises."""
    for root in roots:
        for path, found in _env_files(root):
            add_known_secrets(_secrets_in(path, found.st_mtime_ns, found.st_size))


def is_env_file(path: str) -> bool:
    """Return whether the last part of a path is a name of a .env file."""
    return _NAME.match(path.rpartition("/")[2]) is not None


def _env_files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    pending, seen = [(root, 0)], 0
    while pending and seen < _MAX_FOLDERS:
        folder, depth = pending.pop(0)
        seen += 1
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                if depth < _MAX_DEPTH and entry.name not in _SKIPPED:
                    pending.append((entry.path, depth + 1))
            elif _NAME.match(entry.name) and entry.is_file(follow_symlinks=False):
                yield entry.path, entry.stat(follow_symlinks=False)


def _entries(folder: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


@lru_cache(maxsize=256)
def _secrets_in(path: str, _modified_at: int, size: int) -> Mapping[str, str]:
    """Return the secrets of a file by name. Its change time and size are part of the cache key."""
    if size > _MAX_BYTES:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    values = {match[1]: _unquoted(match[2]) for match in _LINE.finditer(text)}
    named = {name: value for name, value in values.items() if _is_secret(name, value)}
    return named | environment_secrets(values)


def _is_secret(name: str, value: str) -> bool:
    return not _PLACE.match(value) and (_SECRET_NAME.search(name) or _RANDOM.match(value)) is not None


def _unquoted(value: str) -> str:
    if value[:1] in {'"', "'"}:
        return value[1:].partition(value[0])[0]
    return re.split(r"\s#", value)[0].strip()
