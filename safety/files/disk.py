"""The facts about files as the disk has them. What cannot be read or resolved is unknown, never an error."""

import glob
import os
import posixpath
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

from ml_intern.safety.files.facts import UNRESOLVED, FileFacts
from ml_intern.safety.files.git_settings import HARMLESS_KEYS, parse_settings

_MAX_FILES = 100_000
_MAX_MATCHES = 2_000
_MAX_PATTERNS = 3
_MAX_MEMBERS = 20_000
_MAX_ARCHIVE = 200 * 1024 * 1024
_MAX_SETTINGS = 256 * 1024
_ANYWHERE: tuple[str, ...] = ("/",)
"""The assumed matches of a pattern that would take too long to expand."""
_SKIPPED = frozenset({"objects", "site-packages", "dist-packages", "node_modules", "__pycache__"})
_SETTINGS = ("config", "config.worktree")
_ALWAYS_NAMED = re.compile(r"(?i)core\.(?:hookspath|fsmonitor|attributesfile)|include(?:if\..*)?\.path")
_ERRORS = (OSError, ValueError, RuntimeError, EOFError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError)

T = TypeVar("T")


def _or_else(read: Callable[[], T], default: T) -> T:
    """Return what `read` returns, or the default for what cannot be read."""
    try:
        return read()
    except _ERRORS:
        return default


def resolve(path: str) -> str:
    """Return the path with links followed, or UNRESOLVED."""
    return _or_else(lambda: os.path.realpath(path), UNRESOLVED)


def matching_files(pattern: str) -> tuple[str, ...]:
    """Return the files a bash pattern matches, with "/" among them when there are too many to check."""
    if len(re.findall(r"/[^/]*[*?\[][^/]*", pattern)) > _MAX_PATTERNS:
        return _ANYWHERE
    found = _or_else(lambda: _glob(pattern.replace("[^", "[!")), _ANYWHERE)
    return found if len(found) <= _MAX_MATCHES else (*found, *_ANYWHERE)


def _glob(pattern: str) -> tuple[str, ...]:
    return tuple(islice(glob.iglob(pattern), _MAX_MATCHES + 1))  # noqa: PTH207  the pattern is a whole path


def home() -> str:
    """Return the user's home folder, resolved."""
    return _or_else(lambda: os.path.realpath(Path.home()), "/nonexistent-home")


def disk_facts() -> FileFacts:
    """Return the facts for one judgement. Listings are cached in it, since several checks ask for the same folder."""
    below = lru_cache(64)(_below)
    members = lru_cache(16)(_members)
    git_files = lru_cache(64)(_git_files)
    return FileFacts(
        below=lambda folder: _or_else(lambda: below(folder), None),
        members=lambda archive: _or_else(lambda: members(archive), None),
        is_repository=lambda folder: _or_else(lambda: _is_repository(folder), False),
        git_files=lambda folder: _or_else(lambda: git_files(folder), ()),
    )


def _below(folder: str) -> tuple[str, ...] | None:
    found: list[str] = []
    for path, names, files in os.walk(folder, onerror=lambda _error: None):
        names[:] = [name for name in names if name not in _SKIPPED]
        inner = os.path.relpath(path, folder)
        found += files if inner == "." else [f"{inner}/{name}" for name in files]
        if len(found) > _MAX_FILES:
            return None
    return tuple(found)


def _members(archive: str) -> tuple[str, ...] | None:
    size = Path(archive).stat().st_size
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            return tuple(opened.namelist()[:_MAX_MEMBERS])
    if size > _MAX_ARCHIVE:
        return None
    with tarfile.open(archive) as tar:
        return tuple(name for member in islice(tar, _MAX_MEMBERS) for name in (member.name, member.linkname) if name)


def _is_repository(folder: str) -> bool:
    head = Path(folder, "HEAD")
    return head.is_file() and (Path(folder, "objects").is_dir() or Path(folder, "refs").is_dir())


def _git_files(folder: str) -> tuple[str, ...]:
    """Return the files that the git settings in force in a folder name and that git would run or include."""
    found = next(((top, git) for top in (folder, *map(str, Path(folder).parents)) if (git := _git_folder(top))), None)
    if found is None:
        return ()
    top, git = found
    files = [*(f"{git}/{name}" for name in _SETTINGS), f"{home()}/.gitconfig", f"{home()}/.config/git/config"]
    named = {path for file in files for path in _named_in(file, top)}
    return tuple(sorted(path for path in named if path != top and not top.startswith(f"{path}/")))


def _git_folder(folder: str) -> str:
    git = Path(folder, ".git")
    if git.is_dir():
        return str(git)
    text = _text(str(git))
    return os.path.realpath(Path(folder, text.removeprefix("gitdir:").strip())) if text.startswith("gitdir:") else ""


def _named_in(file: str, top: str, depth: int = 0) -> Iterator[str]:
    for key, value in parse_settings(_text(file)):
        if HARMLESS_KEYS.fullmatch(key):
            continue
        base = posixpath.dirname(file) if key.startswith("include") else top
        for word in value.lstrip("!").split():
            path = posixpath.normpath(posixpath.join(base, posixpath.expanduser(word.strip("\"';"))))
            if _ALWAYS_NAMED.fullmatch(key) or Path(path).is_file():
                yield from {path, resolve(path)}
            if key.startswith("include") and depth < 2:
                yield from _named_in(path, top, depth + 1)


def _text(file: str) -> str:
    with suppress(*_ERRORS), Path(file).open(encoding="utf-8", errors="replace") as opened:
        return opened.read(_MAX_SETTINGS) if Path(file).is_file() else ""
    return ""
