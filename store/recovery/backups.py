"""Backups of the thread database: one after every few turns, and the latest of them stay."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from ml_intern.configs.errors import DiskFull, UsageError
from ml_intern.configs.paths import private_folder
from ml_intern.store.lock import file_error, open_lock_file, try_lock
from ml_intern.store.recovery.files import copy_database, find_damage, stamp, sync
from ml_intern.store.sqlite.database import Database, store_error

BACKUPS = "backups"
_NAME = "threads-{stamp}.db"
_UNFINISHED = ".unfinished"
_STALE_SECONDS = 3_600.0
"""Unfinished copies without a change for this long belong to processes that were killed."""
_SPARE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class BackupRule:
    """How often a backup is made, and how many stay."""

    turns: int = 10
    """0: never."""
    keep: int = 3


def backup_folder(path: Path) -> Path:
    """Return the folder of the backups of a database."""
    return path.parent / BACKUPS


def list_backups(path: Path) -> list[Path]:
    """Return the backups of a database, latest first."""
    return sorted(backup_folder(path).glob(_NAME.format(stamp="*")), reverse=True)


def make_backup(path: Path, keep: int) -> Path | None:
    """Copy the database to its folder of backups, and delete all but the latest `keep`. Return the copy.

    None means that another process is doing it. Raises DatabaseUnusable if the database is damaged (no backup is
    deleted then), DiskFull, and the other errors of the store.
    """
    with _errors_of_store(path, backup_folder(path)):
        private_folder(backup_folder(path))
        with _alone(path) as is_alone:
            return _copied(path, keep) if is_alone else None


def copy_to(path: Path, target: Path) -> None:
    """Copy the database to a new file. Raises the same errors as `make_backup`, and UsageError if the file exists."""
    if target.exists() or not target.parent.is_dir():
        raise UsageError(f"{target} cannot be created", "name a file that does not exist in a folder that does")
    with _errors_of_store(path, target):
        copy_database(path, target)


@contextmanager
def _errors_of_store(path: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise file_error(error, target) from error
    except sqlite3.Error as error:
        raise store_error(error, path) from error


def _copied(path: Path, keep: int) -> Path:
    folder = backup_folder(path)
    _remove_stale(folder)
    size = path.stat().st_size
    if disk_usage(folder).free < size + _SPARE_BYTES:
        raise DiskFull(f"no space left for a backup of {path}", f"free {2 * size // 10**6 + 16} MB")
    target = folder / _NAME.format(stamp=stamp())
    unfinished = target.with_name(f"{target.name}{_UNFINISHED}")
    copy_database(path, unfinished)
    unfinished.rename(target)
    sync(folder)
    for old in list_backups(path)[keep:]:
        old.unlink(missing_ok=True)
    _turns(path).unlink(missing_ok=True)
    return target


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    mark = open_lock_file(backup_folder(path) / "lock")
    try:
        yield try_lock(mark)
    finally:
        os.close(mark)


def _remove_stale(folder: Path) -> None:
    for file in folder.glob(f"*{_UNFINISHED}*"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > _STALE_SECONDS:
                file.unlink()


def _turns(path: Path) -> Path:
    """Return the file with one byte for each turn since the last backup, which processes append to at any time."""
    return backup_folder(path) / "turns"


def _count_turn(path: Path) -> int:
    try:
        private_folder(backup_folder(path))
        descriptor = os.open(_turns(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            os.write(descriptor, b".")
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    except OSError as error:
        raise file_error(error, _turns(path)) from error


class Backups:
    """The backups that a session makes of its database."""

    def __init__(self, database: Database, rule: BackupRule) -> None:
        self._database = database
        self._rule = rule

    async def after_turn(self) -> None:
        """Count the turn, and make a backup if it is due. Raises the errors of `make_backup`."""
        if self._rule.turns and await asyncio.to_thread(_count_turn, self._database.path) >= self._rule.turns:
            await self._make()

    async def during_turn(self) -> None:
        """Look for damage and make a backup, in a turn that lasts long. Raises the errors of `make_backup`."""
        await self._database.check()
        if self._rule.turns:
            await self._make()

    async def _make(self) -> None:
        await asyncio.to_thread(make_backup, self._database.path, self._rule.keep)


def sound_backups(path: Path) -> Sequence[Path]:
    """Return the backups of a database without damage, latest first."""
    return [backup for backup in list_backups(path) if not find_damage(backup)]
