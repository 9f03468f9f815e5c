"""Select the local files of an upload, and keep out files with secrets."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolContext
from ml_intern.safety.secrets.redaction import contains_known_secret
from ml_intern.safety.shell.paths import is_credential, is_project_secret
from ml_intern.tools.local.files import stat_regular_file

MAX_BYTES = 50 * 1000**3
"""The Hub's maximum file size."""
_MAX_SEARCHED = 20_000_000
_SHA256_DIGITS = 64
IGNORED = (".git", ".git/*", "*/.git", "*/.git/*", ".cache/huggingface/*", "*/.cache/huggingface/*", "*.pyc")
"""Patterns of files that are never uploaded."""


@dataclass(frozen=True)
class LocalFile:
    """A local file and its path in the repository."""

    path: Path
    path_in_repo: str
    size: int


@dataclass(frozen=True)
class Selection:
    """The files of an upload; `left_out` are relative paths of files that usually contain secrets."""

    local: Path
    """The given file or folder."""
    files: tuple[LocalFile, ...]
    left_out: tuple[str, ...] = ()
    is_folder: bool = False

    @property
    def size(self) -> int:
        """Total bytes of the files."""
        return sum(one.size for one in self.files)


def select_files(path_text: str, context: ToolContext, into: str, patterns: Sequence[str] = ()) -> Selection:
    """Select a file, or the files of a folder, to upload to `into`. It reads all of them, so run it in a thread.

    Raises:
        ToolError: there is no file, or one is outside the workspace, too large, or contains a known secret.
    """
    local = context.resolve(path_text, reading=True)
    shown = context.name_of(local)
    found = _folder(local, into, patterns) if local.is_dir() else Selection(local, (_single(local, shown, into),))
    if not found.files:
        raise ToolError(f"{shown} contains no {'matching ' if patterns else ''}files; nothing was uploaded")
    for one in found.files:
        _check(one, context)
    return found


def _single(local: Path, shown: str, into: str) -> LocalFile:
    size = stat_regular_file(local, shown).st_size
    if is_project_secret(str(local)):
        raise ToolError(f"{shown} usually contains secrets, so it was not uploaded")
    target = into.strip("/")
    return LocalFile(local, f"{target}/{local.name}".strip("/") if not target or into.endswith("/") else target, size)


def _folder(local: Path, into: str, patterns: Sequence[str]) -> Selection:
    """Select files the way the library does."""
    from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

    every = sorted(path.relative_to(local).as_posix() for path in local.glob("**/*") if path.is_file())
    wanted = list(filter_repo_objects(every, allow_patterns=list(patterns) or None, ignore_patterns=list(IGNORED)))
    secret = tuple(name for name in wanted if is_project_secret(name) or is_credential(name))
    prefix = f"{into.strip('/')}/" if into.strip("/") else ""
    allowed = [name for name in wanted if name not in secret]
    files = (LocalFile(local / name, prefix + name, (local / name).stat().st_size) for name in allowed)
    return Selection(local, tuple(files), secret, is_folder=True)


def _check(one: LocalFile, context: ToolContext) -> None:
    shown = context.name_of(one.path)
    context.resolve(str(one.path), reading=True)
    if one.size > MAX_BYTES:
        raise ToolError(f"{shown} has {one.size:,} bytes, but the Hub's limit is {MAX_BYTES:,} per file; split it")
    if one.size <= _MAX_SEARCHED and contains_known_secret(one.path.read_bytes().decode("latin-1")):
        raise ToolError(f"{shown} contains a known secret (a token or key), so it was not uploaded; remove it first")


def matching_digest(path: Path, other: str) -> str:
    """Return the digest of a file in the format of `other`: sha256 (LFS) or git's blob id. Raises OSError."""
    with path.open("rb") as file:
        if len(other) == _SHA256_DIGITS:
            return hashlib.file_digest(file, "sha256").hexdigest()
        head = b"blob %d\0" % path.stat().st_size
        sha = hashlib.sha1(head, usedforsecurity=False)
        while piece := file.read(1 << 20):
            sha.update(piece)
        return sha.hexdigest()
