"""The project secrets that a search through folders would print: grep -r, rg --hidden."""

import posixpath
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ml_intern.safety.shell.paths import CommandContext, is_project_secret

_TREE_OPTIONS = frozenset({"r", "R", "recursive", "dereference-recursive"})
_GREPS = frozenset({"grep", "egrep", "fgrep"})
_ALL_FILES = ("--hidden", "--no-ignore", "--no-ignore-vcs", "--unrestricted", "-u", "-uu", "-uuu", "-.")


def is_tree_search(name: str, options: Sequence[str]) -> bool:
    """Return whether a program with these options prints lines of the files below its folders."""
    prints = {"files", "files-with-matches", "files-without-match", "count", "l", "L", "c", "q", "quiet", "type-list"}
    return (name == "rg" or (name in _GREPS and not _TREE_OPTIONS.isdisjoint(options))) and prints.isdisjoint(options)


def reached_secret(name: str, folder: str, words: Sequence[str], context: CommandContext) -> str:
    """Return the reason if a search below a folder would print a file with secrets, or ""."""
    files = context.files.below(folder)
    if files is None:
        return f"{name} would search more files than can be checked for secrets; name a folder"
    included, excluded = _values(words, "--include", "-g", "--glob"), _values(words, "--exclude")
    hidden = name != "rg" or any(word in words for word in _ALL_FILES) or any("." in word for word in included)
    for path in files:
        base = posixpath.basename(path)
        if not is_project_secret(path) or (not hidden and any(part.startswith(".") for part in path.split("/"))):
            continue
        is_included = not included or any(fnmatchcase(base, pattern) for pattern in included)
        if is_included and not any(fnmatchcase(base, pattern) for pattern in excluded):
            return f"{name} would print {posixpath.join(folder, path)}, which usually contains secrets"
    return ""


def _values(words: Sequence[str], *options: str) -> list[str]:
    joined = [word.partition("=")[2] for word in words if word.partition("=")[0] in options and "=" in word]
    return joined + [words[at + 1] for at, word in enumerate(words[:-1]) if word in options]
