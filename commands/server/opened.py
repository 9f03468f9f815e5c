"""The store of a team's database, for commands about its people."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ml_intern.configs.errors import ConfigurationError, UsageError
from ml_intern.configs.paths import DATABASE_VARIABLE, database_url
from ml_intern.session.opening.store import open_store

if TYPE_CHECKING:
    from ml_intern.store.store import Store

COMMAND_LINE = "command line"
"""Who did something in the audit log, if it was done with the database itself."""


@asynccontextmanager
async def team_store() -> AsyncIterator["Store"]:
    """Open the database of the team. Raises ConfigurationError if none is named."""
    if not database_url():
        raise ConfigurationError(
            "no database is named", f"set {DATABASE_VARIABLE} to postgresql://USER:PASSWORD@HOST/NAME"
        )
    async with open_store() as store:
        yield store


def needed(text: str, what: str, usage: str) -> str:
    """Return an argument that an action needs. Raises UsageError."""
    if not text:
        raise UsageError(f"{what} is missing", usage)
    return text
