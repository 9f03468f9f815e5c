"""The table of files that threads with outside text wrote: path, digest of the content, sources of the text."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml_intern.store.connection import SqlConnection, ThreadDatabase

_MAX_BELOW = 5_000
"""Most files below a folder that are returned."""


@dataclass(frozen=True)
class TaintedFile:
    """One content of a file and the outside sources that were in the context when it was written."""

    path: str
    digest: str
    sources: tuple[str, ...]


_SAVE = (
    "INSERT INTO tainted_files VALUES (?, ?, ?, ?) "
    "ON CONFLICT (path, digest) DO UPDATE SET sources = excluded.sources, created = excluded.created"
)


class TaintedFiles:
    """The files that tainted threads wrote."""

    def __init__(self, database: ThreadDatabase) -> None:
        self._database = database

    async def add(self, digests: Mapping[str, str], sources: Sequence[str]) -> None:
        """Save path -> digest of files with their sources. Sources of the same content are merged."""

        def write(connection: SqlConnection) -> None:
            now = time.time()
            for path, digest in digests.items():
                where = (path, digest)
                query = "SELECT sources FROM tainted_files WHERE path = ? AND digest = ?"
                found = connection.execute(query, where).fetchone()
                merged = list(dict.fromkeys([*(json.loads(found[0]) if found else ()), *sources]))
                row = (*where, json.dumps(merged), now)
                connection.execute(_SAVE, row)

        if digests and sources:
            await self._database.write(write)

    async def find(self, paths: Sequence[str]) -> list[TaintedFile]:
        """Return the saved contents of these files and of the files below these folders."""

        def read(connection: SqlConnection) -> list[TaintedFile]:
            found: list[TaintedFile] = []
            for path in paths:
                below = path.rstrip("/") + "/"
                query = (
                    "SELECT path, digest, sources FROM tainted_files WHERE path = ? OR (path > ? AND path < ?) LIMIT ?"
                )
                rows = connection.execute(query, (path, below, below[:-1] + "0", _MAX_BELOW))
                found += [TaintedFile(name, digest, tuple(json.loads(sources))) for name, digest, sources in rows]
            return found

        return await self._database.read(read) if paths else []
