"""A cache of fetched pages with a full-text index, in a separate file that can be deleted at any time."""

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from ml_intern.configs.paths import private_folder

FILE = "pages.db"
MAX_AGE_SECONDS = 30 * 86_400.0
"""Older pages are deleted."""
_VERSION = 1
_TABLES = """
CREATE TABLE pages (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    shelf TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    fetched REAL NOT NULL
);
CREATE INDEX pages_by_shelf ON pages (shelf);
CREATE VIRTUAL TABLE words USING fts5(title, text, content = 'pages', content_rowid = 'id', tokenize = 'porter');
CREATE TRIGGER pages_in AFTER INSERT ON pages
BEGIN INSERT INTO words (rowid, title, text) VALUES (NEW.id, NEW.title, NEW.text); END;
CREATE TRIGGER pages_out AFTER DELETE ON pages
BEGIN INSERT INTO words (words, rowid, title, text) VALUES ('delete', OLD.id, OLD.title, OLD.text); END;
"""
_SEARCH = (
    "SELECT pages.url, pages.title, snippet(words, 1, '', '', ' ... ', 40), pages.fetched FROM words "
    "JOIN pages ON pages.id = words.rowid WHERE words MATCH ? AND pages.shelf <> '' AND ? IN ('', pages.shelf) "
    "ORDER BY bm25(words, 8.0, 1.0) LIMIT ?"
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class CachedPage:
    """A fetched page. `fetched` is in seconds since the epoch. Pages with an empty `shelf` are not searched."""

    url: str
    shelf: str
    title: str
    text: str
    fetched: float

    @property
    def age(self) -> float:
        """Return the seconds since the fetch."""
        return max(time.time() - self.fetched, 0.0)


@dataclass(frozen=True)
class FoundPage:
    """A search result with an excerpt around the matching words."""

    url: str
    title: str
    excerpt: str
    fetched: float


class PageCache:
    """The pages in one file; open it with `open_pages`."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def get(self, url: str) -> CachedPage | None:
        """Return the cached page with this address, or None."""
        query = "SELECT url, shelf, title, text, fetched FROM pages WHERE url = ?"
        async with self._connection.execute(query, (url,)) as rows:
            row = await rows.fetchone()
        return CachedPage(*row) if row else None

    async def put(self, pages: Sequence[CachedPage]) -> None:
        """Save pages, replacing those with the same addresses, and delete old pages."""
        rows = [(page.url, page.shelf, page.title, page.text, page.fetched) for page in pages]
        await self._connection.execute("BEGIN IMMEDIATE")
        try:
            await self._connection.executemany("DELETE FROM pages WHERE url = ?", [(row[0],) for row in rows])
            await self._connection.executemany(
                "INSERT INTO pages (url, shelf, title, text, fetched) VALUES (?, ?, ?, ?, ?)", rows
            )
            await self._connection.execute("DELETE FROM pages WHERE fetched < ?", (time.time() - MAX_AGE_SECONDS,))
        except BaseException:
            await self._connection.rollback()
            raise
        await self._connection.commit()

    async def fresh(self, shelf: str, seconds: float) -> set[str]:
        """Return the addresses of a shelf's pages fetched within the last `seconds`."""
        query = "SELECT url FROM pages WHERE shelf = ? AND fetched > ?"
        async with self._connection.execute(query, (shelf, time.time() - seconds)) as rows:
            return {row[0] async for row in rows}

    async def search(self, words: str, shelf: str = "", limit: int = 10) -> list[FoundPage]:
        """Return pages with all these words, or else with any of them, best first; of one shelf or of all."""
        terms = [f'"{word}"' for word in _WORD.findall(words)]
        found = await self._match(" ".join(terms), shelf, limit) if terms else []
        return found or (await self._match(" OR ".join(terms), shelf, limit) if len(terms) > 1 else [])

    async def _match(self, terms: str, shelf: str, limit: int) -> list[FoundPage]:
        async with self._connection.execute(_SEARCH, (terms, shelf, limit)) as rows:
            return [FoundPage(*row) async for row in rows]


@asynccontextmanager
async def open_pages(folder: Path) -> AsyncIterator[PageCache]:
    """Open the cache in `folder`. It is created if missing and recreated if damaged or of an older version."""
    await asyncio.to_thread(private_folder, folder)
    path = folder / FILE
    try:
        connection = await _connect(path)
    except sqlite3.OperationalError:
        raise  # busy or disk full: the file itself is intact
    except sqlite3.DatabaseError:
        await asyncio.to_thread(_remove, path)
        connection = await _connect(path)
    try:
        yield PageCache(connection)
    finally:
        await connection.close()


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        await _run(
            connection, ("PRAGMA busy_timeout = 10000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL")
        )
        await connection.execute("BEGIN IMMEDIATE")
        async with connection.execute("PRAGMA user_version") as rows:
            found = await rows.fetchone()
        if found is not None and found[0] != _VERSION:
            if found[0]:
                raise sqlite3.DatabaseError(f"the cache has version {found[0]}")  # noqa: TRY301 it needs the same cleanup
            await _run(connection, (*_statements(), f"PRAGMA user_version = {_VERSION}"))
        await connection.commit()
    except BaseException:
        await connection.close()
        raise
    return connection


def _statements() -> list[str]:
    """Return the statements that create the tables. Triggers contain semicolons themselves."""
    statements, pending = list[str](), ""
    for line in _TABLES.strip().splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


async def _run(connection: aiosqlite.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        await connection.execute(statement)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
