"""Database files as a whole: check one for damage, copy one, replace one."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from ml_intern.configs.errors import DatabaseUnusable

DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
REPAIR = "run `ml-intern doctor --repair`"
_PARTS = ("-wal", "-shm", "")


def stamp() -> str:
    """Return the time in UTC for the name of a file."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the error means that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE_CODES


def damaged(path: Path, finding: str) -> DatabaseUnusable:
    """Return the error for a damaged database."""
    return DatabaseUnusable(f"{path} is damaged: {' '.join(finding.split())}", REPAIR)


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """Open a database without changing it. Closing the connection does not merge the log into the file."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def find_damage(path: Path) -> str:
    """Return what SQLite's quick check finds in a database file and its log, or "" if they are sound."""
    try:
        with closing(connect_for_reading(path)) as connection:
            found = [text for (text,) in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        raise
    return "" if found == ["ok"] else found[0]


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is now, while others may write to it, to a new private file, which is on disk afterwards.

    Raises DatabaseUnusable if the copy is damaged, OSError and sqlite3.Error. The target is removed then.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    try:
        with closing(connect_for_reading(source)) as connection, closing(sqlite3.connect(target)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        _require_sound(target, source)
        sync(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _require_sound(copy: Path, source: Path) -> None:
    if finding := find_damage(copy):
        raise damaged(source, finding)


def replace_database(path: Path, new: Path, word: str) -> Path | None:
    """Put `new` in the place of a database that no process has open. Return where the old one is; None if none was.

    The old files keep their content under a name with `word`. A kill leaves either the old file or the new one.
    """
    old = path.with_name(f"{path.name}.{word}-{stamp()}") if path.exists() else None
    for suffix in _PARTS if old else ():
        part, kept = Path(f"{path}{suffix}"), Path(f"{old}{suffix}")
        if part.exists():
            os.link(part, kept)
            if suffix:
                part.unlink()
    new.replace(path)
    sync(path.parent)
    return old


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
