"""Facts from the file system that judgements need, as functions. Nothing here raises; the defaults know no files."""

from collections.abc import Callable
from dataclasses import dataclass

UNRESOLVED = "/(unresolved)"
"""The resolved form of a path that cannot be resolved. It is in no folder."""


def _none(_path: str) -> tuple[str, ...]:
    return ()


def _no(_path: str) -> bool:
    return False


@dataclass(frozen=True)
class FileFacts:
    """Facts about files. Paths are absolute."""

    below: Callable[[str], tuple[str, ...] | None] = _none
    """The files in a folder at any depth, relative to it; None if there are too many to list."""
    members: Callable[[str], tuple[str, ...] | None] = _none
    """The names in an archive; None if they cannot be listed."""
    is_repository: Callable[[str], bool] = _no
    """Whether git would use the folder as a repository's data, whatever its name."""
    git_files: Callable[[str], tuple[str, ...]] = _none
    """The files and folders that the git settings of the repository around a folder name, such as core.hooksPath."""


NO_FACTS = FileFacts()
