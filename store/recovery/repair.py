"""Repair of the thread database: what can be read, completed from the latest sound backup; or a backup as it is."""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ml_intern.configs.errors import DatabaseUnusable, TemporaryError, UsageError
from ml_intern.store.lock import file_error, open_lock_file, try_lock
from ml_intern.store.recovery.backups import sound_backups
from ml_intern.store.recovery.files import connect_for_reading, copy_database, find_damage, replace_database
from ml_intern.store.recovery.salvage import RowValues, SchemaTable, insert, salvage, tables_of
from ml_intern.store.recovery.schema_pages import take_schema
from ml_intern.store.recovery.soundness import BODIES, Cut, cut_to_whole, replace_damaged_bases, unreadable_rows
from ml_intern.store.sqlite.database import open_database, store_error
from ml_intern.store.sqlite.schema import APPLICATION_ID, SCHEMA_VERSION

_NOT_FROM_BACKUPS = frozenset({"queued_messages"})
"""Tables whose older rows would have an effect: a message that was delivered since would be delivered again."""


@dataclass(frozen=True)
class Repaired:
    """The result of a repair or a restore."""

    old: Path | None
    """Where the replaced file is."""
    backup: Path | None = None
    """The backup that was used."""
    incomplete: tuple[str, ...] = ()
    """The tables of which rows could not be read."""
    cuts: tuple[Cut, ...] = ()
    """The threads that lost their latest steps."""
    threads: int = 0
    """How many threads there are now."""

    @property
    def may_have_lost_steps(self) -> bool:
        """Return whether threads may have lost steps of which no trace could be read."""
        return self.is_backup or not BODIES.keys().isdisjoint(self.incomplete)

    @property
    def is_backup(self) -> bool:
        """Return whether the database is the backup as it was."""
        return self.backup is not None and not self.incomplete


async def repair(path: Path) -> Repaired | None:
    """Replace a damaged database by its newest sound state; None if it is sound and has all that it needs.

    Raises DatabaseUnusable if nothing can be read and there is no sound backup, and TemporaryError if the database
    is in use.
    """
    with _unused(path):
        if not path.exists() or not (find_damage(path) or _has_unreadable_rows(path)):
            return None
        new = _new_file(path)
        backup = next(iter(sound_backups(path)), None)
        try:
            await (await open_database(new)).close()
            found = _merged(path, backup, new)
        except _Unreadable:
            _remove(new)
            return await _restored(path, _required(path, backup), "damaged")
        except BaseException:
            _remove(new)
            raise
        return Repaired(_moved(path, new, "damaged"), *found)


async def restore(path: Path, backup: Path) -> Repaired:
    """Replace the database by a backup. The old one is saved beside it.

    Raises UsageError if the file is not a sound database of ml-intern, and TemporaryError if the database is in use.
    """
    if not backup.is_file():
        raise UsageError(f"there is no file {backup}", "`ml-intern restore` lists the backups")
    if find_damage(backup):
        raise UsageError(f"{backup} is not a sound database", "`ml-intern restore` lists the backups")
    with _unused(path):
        return await _restored(path, backup, "replaced")


async def _restored(path: Path, backup: Path, word: str) -> Repaired:
    new = _new_file(path)
    copy_database(backup, new)
    try:
        database = await open_database(new)
        threads = await database.read(_count_threads)
        await database.close()
    except BaseException:
        _remove(new)
        raise
    return Repaired(_moved(path, new, word), backup, threads=threads)


def _count_threads(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM threads").fetchone()[0])


def _required(path: Path, backup: Path | None) -> Path:
    if backup is None:
        raise DatabaseUnusable(
            f"nothing can be read from {path}, and there is no sound backup",
            f"to start with an empty database, move it away: mv {path} {path}.lost",
        )
    return backup


@contextmanager
def _unused(path: Path) -> Iterator[None]:
    """Ensure that no other process has the database open, and that none opens it until the block ends."""
    try:
        mark = open_lock_file(path.with_name(f"{path.name}.open"))
    except OSError as error:
        raise file_error(error, path) from error
    try:
        if not try_lock(mark):
            raise TemporaryError("another ml-intern process has the database open", "end it and try again")
        yield
        os.ftruncate(mark, 0)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    except OSError as error:
        raise file_error(error, path) from error
    finally:
        os.close(mark)


def _new_file(path: Path) -> Path:
    """Return the name of the file that is to replace the database, without what an earlier attempt left."""
    new = path.with_name(f"{path.name}.new")
    _remove(new)
    return new


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".open"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _moved(path: Path, new: Path, word: str) -> Path | None:
    old = replace_database(path, new, word)
    _remove(new)
    return old


class _Unreadable(Exception):
    """Not even the list of tables can be read from the damaged file, nor taken from another one."""


@dataclass(frozen=True)
class _Merge:
    """Fills a new database from a damaged one and a backup."""

    target: sqlite3.Connection
    damaged: sqlite3.Connection
    older: sqlite3.Connection | None

    def run(self) -> tuple[tuple[str, ...], tuple[Cut, ...]]:
        """Copy all tables. Return those that were incomplete, and the threads that lost steps."""
        self.target.execute("BEGIN")
        incomplete = [table.name for table in tables_of(self.target) if not self._fill(table)]
        if self.older is not None:
            replace_damaged_bases(self.target, self.older)
        replaced = [table for table in tables_of(self.target) if self._replace_unreadable(table)]
        cuts = cut_to_whole(self.target)
        self.target.execute("COMMIT")
        return tuple(dict.fromkeys([*incomplete, *(table.name for table in replaced)])), tuple(cuts)

    def _fill(self, table: SchemaTable) -> bool:
        """Copy a table. If some of it cannot be read, add the rows of the backup. Return whether all was read."""
        older = self._rows_of_backup(table)
        found = salvage(self.damaged, table, len(older))
        insert(self.target, table, found.rows)
        if not found.complete and table.name not in _NOT_FROM_BACKUPS:
            insert(self.target, table, older)
        return found.complete

    def _replace_unreadable(self, table: SchemaTable) -> bool:
        """Replace rows with damaged content by those of the backup, if it has them."""
        numbers = unreadable_rows(self.target, table.name)
        if not numbers:
            return False
        self.target.executemany(f"DELETE FROM {table.name} WHERE no = ?", [(number,) for number in numbers])  # noqa: S608  names of the schema
        insert(self.target, table, [row for row in self._rows_of_backup(table) if row[0] in numbers])
        return True

    def _rows_of_backup(self, table: SchemaTable) -> list[RowValues]:
        return salvage(self.older, table).rows if self.older is not None else []


def _merged(path: Path, backup: Path | None, new: Path) -> tuple[Path | None, tuple[str, ...], tuple[Cut, ...], int]:
    """Fill `new` with what can be read, completed from the backup. Return the last fields of `Repaired`."""
    usable = backup if backup is not None and _has_same_schema(backup) else None
    with ExitStack() as stack:
        readable = stack.enter_context(_readable(path, [file for file in (usable, new) if file is not None]))
        target = stack.enter_context(closing(sqlite3.connect(new, isolation_level=None)))
        damaged = stack.enter_context(closing(connect_for_reading(readable)))
        older = stack.enter_context(closing(connect_for_reading(usable))) if usable is not None else None
        incomplete, cuts = _Merge(target, damaged, older).run()
        return usable if incomplete else None, incomplete, cuts, _count_threads(target)


@contextmanager
def _readable(path: Path, donors: Sequence[Path]) -> Iterator[Path]:
    """Provide the damaged file, or a copy with the list of tables of a donor if its own cannot be read."""
    if _has_same_schema(path):
        yield path
        return
    copy = path.with_name(f"{path.name}.copy")
    try:
        for donor in donors:
            _remove(copy)
            for suffix in ("", "-wal"):
                if Path(f"{path}{suffix}").exists():
                    shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
            if take_schema(copy, donor) and _has_same_schema(copy):
                yield copy
                return
        raise _Unreadable
    finally:
        _remove(copy)


def _has_same_schema(path: Path) -> bool:
    with closing(connect_for_reading(path)) as connection:
        return _same_schema(connection)


def _same_schema(connection: sqlite3.Connection) -> bool:
    try:
        header = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        return header == [APPLICATION_ID, SCHEMA_VERSION] and bool(tables_of(connection))
    except sqlite3.Error:
        return False


def _has_unreadable_rows(path: Path) -> bool:
    with closing(connect_for_reading(path)) as connection:
        return _same_schema(connection) and any(unreadable_rows(connection, table) for table in BODIES)
