"""Open only the store, for operations without settings and a model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ml_intern.configs.errors import UsageError
from ml_intern.configs.paths import data_home, database_url
from ml_intern.session.remote.servers import chosen_server

if TYPE_CHECKING:
    from ml_intern.store.store import Store


@asynccontextmanager
async def open_store(*, ephemeral: bool = False) -> AsyncIterator["Store"]:
    """Open the store in the data home, or in a folder that is removed at the end.

    Raises UsageError if the user chose the threads of a server.
    """
    from ml_intern.store.store import Store

    if (server := chosen_server()) is not None:
        raise UsageError(
            f"this command works with the threads of this machine, not with those of {server.name}",
            "omit --server, or use the command on the server's machine",
        )
    if not ephemeral:
        async with await Store.open(data_home(), url=database_url()) as store:
            yield store
        return
    with TemporaryDirectory(prefix="ml-intern-", ignore_cleanup_errors=True) as folder:
        async with await Store.open(Path(folder) / "home") as store:
            yield store
