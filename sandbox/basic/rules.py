"""The Landlock rules of a profile. Rights add up downwards, so the visible siblings of hidden paths are listed."""

import os
import stat
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ml_intern.sandbox.basic import landlock as rights
from ml_intern.sandbox.basic.landlock import Landlock
from ml_intern.sandbox.bubblewrap import Profile

Rule = tuple[str, int]
"""A path, and the rights on it and on everything below."""
_READ = rights.READ_FILE | rights.READ_DIR | rights.EXECUTE
_CHANGE = (
    rights.WRITE_FILE | rights.TRUNCATE | rights.REMOVE_FILE | rights.REMOVE_DIR | rights.MAKE_REG | rights.MAKE_DIR
    | rights.MAKE_SYM | rights.MAKE_FIFO
)  # fmt: skip
_WRITE = _READ | _CHANGE | rights.REFER
_TEMPORARY = _WRITE | rights.MAKE_SOCK | rights.IOCTL_DEV
"""IOCTL_DEV has no other effect here: since other folders lack it, nothing can be moved or linked into this one."""
_SHARED_MEMORY = rights.READ_FILE | rights.WRITE_FILE | rights.TRUNCATE | rights.MAKE_REG | rights.REMOVE_FILE
_DEVICE = rights.READ_FILE | rights.WRITE_FILE | rights.READ_DIR | rights.IOCTL_DEV
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SHM = "/dev/shm"  # noqa: S108  semaphores of glibc are there


def rules(profile: Profile, temporary: str, caches: Iterable[str], kernel: Landlock) -> list[Rule]:
    """Return the rules for a profile. `temporary` is the command's own folder for temporary files.

    `caches` are the folders that the command gets instead of the user's caches.
    """
    excluded = tuple(dict.fromkeys((*profile.hidden, *profile.masked, "/dev", "/proc", "/sys")))
    shown = _shown(excluded, frozenset(profile.masked), tuple(map(_state, _parents(excluded))))
    found = [(path, _READ) for path in (*shown, *profile.readable)]
    found += [(path, _READ & ~rights.EXECUTE) for path in ("/proc", "/sys")]
    found += [(path, _DEVICE) for path in (*_DEVICES, *profile.devices)]
    found += [(_SHM, _SHARED_MEMORY)]
    found += [(path, _WRITE) for path in (*caches, *profile.writable, *profile.roots)]
    # Without IOCTL_DEV nothing else keeps a socket of the workspace from being moved there.
    found.append((temporary, _TEMPORARY if kernel.version >= 5 else _TEMPORARY & ~rights.REFER))
    return [rule for path, allowed in found if (rule := _fitting(path, allowed & kernel.handled))]


def reader_rules(hidden: Iterable[str], reads: Iterable[str], writes: Iterable[str], kernel: Landlock) -> list[Rule]:
    """Return the rules for a program that writes to `writes`, and reads `reads` and everything that is not `hidden`."""
    excluded = tuple(dict.fromkeys((*hidden, "/dev", "/proc", "/sys")))
    shown = _shown(excluded, frozenset(), tuple(map(_state, _parents(excluded))))
    found = [(path, _READ) for path in (*shown, *reads)]
    found += [("/proc", _READ & ~rights.EXECUTE), *((path, _DEVICE) for path in _DEVICES)]
    found += [(path, _WRITE) for path in writes]
    return [rule for path, allowed in found if (rule := _fitting(path, allowed & kernel.handled))]


def _fitting(path: str, allowed: int) -> Rule | None:
    """Return a rule with the rights that apply to the file; None if it does not exist."""
    real = os.path.realpath(path)
    try:
        mode = os.stat(real).st_mode  # noqa: PTH116  called for every path before every command
    except OSError:
        return None
    return (real, allowed if stat.S_ISDIR(mode) else allowed & rights.ON_FILES)


def _parents(excluded: Iterable[str]) -> tuple[str, ...]:
    """Return every folder above an excluded path."""
    found = dict.fromkeys(["/"])
    for path in excluded:
        parts = path.strip("/").split("/")
        found |= dict.fromkeys("/" + "/".join(parts[:count]) for count in range(1, len(parts)))
    return tuple(found)


def _state(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns)


@lru_cache(maxsize=8)
def _shown(excluded: tuple[str, ...], files: frozenset[str], _states: tuple[tuple[int, ...], ...]) -> tuple[str, ...]:
    """Return the paths that together contain everything but `excluded`. The states are part of the cache key.

    `files` are those of `excluded` that are files.
    """
    return tuple(_siblings("/", excluded, files))


def _siblings(folder: str, excluded: tuple[str, ...], files: frozenset[str]) -> Iterator[str]:
    below = {path for path in excluded if path.startswith(folder.rstrip("/") + "/")}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.path in excluded or entry.is_symlink():  # the target of a link has a rule of its own, or none
            continue
        if any(path.startswith(f"{entry.path}/") for path in below):
            yield from _siblings(entry.path, excluded, files)
        else:
            yield entry.path
