"""Private files: files with secrets, and the user's files outside the folders that ml-intern works in."""

from collections.abc import Iterable
from functools import lru_cache

from ml_intern.safety.shell.paths import PLAIN_SYSTEM_FILES, is_credential, is_project_secret, is_within
from ml_intern.text.word_table import words

_PROGRAMS = words("/usr /bin /sbin /lib /lib32 /lib64 /opt /proc /sys /dev /tmp /var/tmp /run")
"""Folders with programs and with what belongs to processes. Inside a sandbox, /tmp is the command's own."""


def private_files(paths: Iterable[str], roots: tuple[str, ...]) -> list[str]:
    """Return the private ones of these absolute paths. `roots` are the folders that ml-intern works in."""
    return [path for path in paths if is_private_file(path, roots)]


@lru_cache(maxsize=4096)
def is_private_file(path: str, roots: tuple[str, ...]) -> bool:
    """Return whether a file contains secrets, or is one of the user's files outside the working folders."""
    if is_credential(path) or is_project_secret(path):
        return True
    return path not in PLAIN_SYSTEM_FILES and not any(is_within(path, root) for root in (*roots, *_PROGRAMS))
