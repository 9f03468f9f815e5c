"""The files that a command may read, as far as its words show them, and which of them are private."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ml_intern.execution.tool import ToolContext
from ml_intern.safety.files.disk import matching_files, resolve
from ml_intern.safety.files.git_writes import subcommand
from ml_intern.safety.files.private import private_files
from ml_intern.safety.shell.credentials import named_paths
from ml_intern.safety.shell.invocations import Invocation, ParsedCommand
from ml_intern.text.digests import file_digest

MAX_PATHS = 50
_MAX_DIGESTED = 1_000_000
_LISTINGS = frozenset(
    {"cd", "ls", "stat", "du", "df", "tree", "mkdir", "pwd", "echo", "true", "rm", "chmod", "touch", "file"}
)
"""Programs that show at most the names in a folder that they are given."""
_SEARCHES = frozenset({"rg", "ag", "ack", "xargs"})
"""Programs that read the files of the working folder without naming it."""
_GIT_READERS = frozenset({"diff", "show", "grep", "blame"})
_QUOTED = re.compile(r"""['"]([^'"\n]{1,300})['"]""")
"""Texts in code, which may be names of files."""
_WILDCARD = re.compile(r"[*?\[]")


def opened_paths(parsed: ParsedCommand | None, folder: Path, code: str = "") -> list[Path]:
    """Return the files and folders that a command, or `code` that it runs, may read."""
    if parsed is None:
        return [folder]
    words = named_paths(parsed)[:MAX_PATHS]
    matched = [one for word in words for one in (matching_files(word) if _WILDCARD.search(word) else (word,))]
    codes = (code, *(one.code for one in parsed.invocations))
    quoted = [text for one in codes for text in _QUOTED.findall(one)[:MAX_PATHS]]
    named = [Path(resolve(str(folder / path))) for path in (*matched, *quoted)]
    names = {one.name for one in parsed.invocations}
    searches = [folder] if any(map(_searches_folder, parsed.invocations)) else []
    return [*searches, *(path for path in named if not _is_folder(path) or not names <= _LISTINGS)]


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  is_dir() may raise


def _searches_folder(invocation: Invocation) -> bool:
    """Return whether a program reads files of the working folder without naming them."""
    if invocation.name == "git":
        return not _GIT_READERS.isdisjoint(subcommand(invocation.arguments)[:1])
    recursive = invocation.name == "grep" and invocation.has("rR", "recursive", "dereference-recursive")
    return recursive or invocation.name in _SEARCHES


def private_reads(opened: Iterable[Path], context: ToolContext) -> Mapping[str, str]:
    """Return path -> digest of the existing private files and folders among those that a command may read.

    The digest is "" for folders and large files.
    """
    present = [str(path) for path in opened if os.path.exists(path)]  # noqa: PTH110  Path.exists() may raise
    return {path: _digest(Path(path)) for path in private_files(present, private_roots(context))}


def private_roots(context: ToolContext) -> tuple[str, ...]:
    """Return the folders outside which the user's files are private to a thread."""
    return (*map(str, context.roots()), str(context.store.home.resolve()))


def _digest(path: Path) -> str:
    try:
        return file_digest(path) if path.is_file() and path.stat().st_size <= _MAX_DIGESTED else ""
    except OSError:
        return ""
